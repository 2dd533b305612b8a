"""
Everything that talks to Slack: the client (`client`), Socket Mode (`socket_mode`), the Bolt app (`bolt_app`), posting
once and within Slack's limits (`messenger`), the progress message (`live_message`), and a run's thread (`run_thread`).
"""
