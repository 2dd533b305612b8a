-- Runs, what each Agent answered, and where each post is.
CREATE TABLE csm_runs (
    id VARCHAR(32) NOT NULL PRIMARY KEY,
    command VARCHAR(32) NOT NULL,
    target VARCHAR(256) NOT NULL,
    agent VARCHAR(256) NOT NULL,
    requested_by VARCHAR(128) NOT NULL,
    source VARCHAR(16) NOT NULL,
    channel VARCHAR(32) NOT NULL,
    response_url TEXT NOT NULL,
    state VARCHAR(16) NOT NULL,
    accepted_at FLOAT NOT NULL,
    finished_at FLOAT,
    cancelled_by VARCHAR(128) NOT NULL,
    inventory TEXT,
    verdict VARCHAR(16),
    report TEXT,
    permalink TEXT NOT NULL
);

CREATE INDEX csm_runs_by_target ON csm_runs (target, accepted_at);

CREATE TABLE csm_results (
    run VARCHAR(32) NOT NULL,
    agent VARCHAR(256) NOT NULL,
    target VARCHAR(256) NOT NULL,
    command VARCHAR(32) NOT NULL,
    asked_at FLOAT NOT NULL,
    result TEXT,
    PRIMARY KEY (run, agent)
);

CREATE INDEX csm_results_by_agent ON csm_results (target, agent, command, asked_at);

CREATE TABLE csm_posts (
    run VARCHAR(32) NOT NULL,
    key VARCHAR(128) NOT NULL,
    channel VARCHAR(32) NOT NULL,
    intended_at FLOAT NOT NULL,
    ts VARCHAR(32) NOT NULL,
    extra TEXT NOT NULL,
    PRIMARY KEY (run, key)
);
