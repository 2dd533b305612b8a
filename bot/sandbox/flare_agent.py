#!/usr/bin/env python3
"""
The stand-in Agent's `flare`: builds a real archive, asks for confirmation on stdin, and records each step.

One file, standard library only, Python 3.8 and up, always a process of its own: `flare_agent.py agent flare …`. Its
output is taken from the Agent's sources (DataDog/datadog-agent:
cmd/security-agent/subcommands/flare/command.go@11ab8d28, cmd/agent/subcommands/flare/command.go@013fb719,
comp/core/flare/impl/send_flare.go@09f9c5de, pkg/util/input/input.go@28f2560e). Nothing leaves this machine: an upload
is a line in the ledger, `flare-ledger.jsonl` beside the archives.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
import zipfile
from typing import Any, Dict, List, NoReturn, Sequence

FAULTS = {
    "flare_email_asked": "it asks for an e-mail address although it was given one",
    "flare_question": "it asks something else before its question",
    "flare_new_wording": "it asks for confirmation in other words",
    "flare_no_path": "it asks without having named an archive",
    "flare_two_paths": "it names two archives",
    "flare_bad_path": "it names an archive that is not in a temporary directory",
    "flare_control_path": "it names an archive with control characters in its name",
    "flare_spoke_on": "it asks another question right after its question",
    "flare_ends_early": "it ends before it asks",
    "flare_dies": "it is killed while it builds the archive",
    "flare_hangs": "it never asks",
    "flare_floods": "it prints without end",
    "flare_local": "the running Agent does not answer, and the command builds a reduced archive",
    "flare_security_down": "security-agent does not run, and its command builds a reduced archive; agent runs",
    "flare_build_error": "the archive cannot be built",
    "flare_no_token": "the authentication token cannot be read",
    "flare_other_container": "the running Agent's archive is in another container; --local helps",
    "flare_never_there": "the archive is in another container, also with --local",
    "flare_unknown": "no binary knows the command",
    "flare_security_unknown": "security-agent does not know the command; agent does",
    "flare_unknown_flag": "it does not know the flag --no-color",
    "flare_coloured": "it prints colours and carriage returns",
    "flare_unasked": "it uploads without asking",
    "flare_missing": "the archive is not where it says",
    "flare_corrupt": "the archive is no zip",
    "flare_truncated": "the archive's end is missing",
    "flare_bomb": "the archive unpacks to a thousand times its size",
    "flare_many_files": "the archive claims to hold 60,000 files",
    "flare_encrypted": "a file in the archive is encrypted",
    "flare_hostile_names": "files in the archive have names that lead elsewhere",
    "flare_secrets": "the archive holds secrets that the Agent did not scrub",
    "flare_changes": "the archive changes three seconds after the question",
    "flare_vanishes": "the archive is removed three seconds after the question",
    "flare_gives_up": "it ends while it waits for its answer",
    "flare_speaks": "it prints something while it waits for its answer",
    "flare_swapped": "the archive is exchanged during the upload",
    "flare_refused": "Datadog refuses the case",
    "flare_api_key": "Datadog, or a proxy, answers 403",
    "flare_api_key_missing": "the Agent has no API key",
    "flare_retries": "three attempts are answered 503, and none arrives",
    "flare_retries_arrive": "three attempts arrive whole, and a proxy answers each with 504",
    "flare_times_out": "three attempts arrive whole, and none is answered in time",
    "flare_end_of_answer": "it arrives whole, and the connection ends without an answer",
    "flare_http_error": "it arrives whole, and the answer is 502, on an older Agent",
    "flare_too_large": "a proxy answers 413",
    "flare_unreachable": "the question where to send is answered 502",
    "flare_unreachable_old": "the question where to send is answered 502, on an older Agent",
    "flare_proxy_login": "a proxy wants to know who is asking",
    "flare_content_type": "a proxy answers with a page in Datadog's place",
    "flare_no_content_type": "it arrives whole, and a proxy takes the answer's headers away",
    "flare_garbled": "it arrives whole, and the answer is cut short",
    "flare_silent": "it says nothing of the upload",
    "flare_contradiction": "it says that the upload succeeded, and that it failed",
    "flare_not_taken": "it takes a yes for a no",
    "flare_case_0": "Datadog names no case",
    "flare_upload_hangs": "the upload never ends",
    "flare_upload_dies": "it is killed during the upload",
    "flare_ignores_no": "it uploads although the answer is no",
    "flare_to_host": "its dd_url is a host that is none of Datadog's",
    "flare_to_lookalike": "its dd_url looks like Datadog's and is not",
    "flare_to_user": "its dd_url has Datadog's name where a user's belongs",
    "flare_to_dd_url": "its dd_url and its site differ",
    "flare_to_environment": "its environment names another site than its file",
    "flare_to_unmerged": "no dump of its settings is there, and its environment names a host that is none of Datadog's",
    "flare_to_file": "no dump of its settings is there, and only its file names a site",
    "flare_to_default": "its settings name no site",
    "flare_to_commented": "its settings have comments, quotes and Windows' line ends",
    "flare_to_plain_http": "its dd_url is without encryption",
    "flare_to_nowhere": "nothing in the archive tells where it goes",
}
"""The faults of a stand-in Agent's flare: name and description."""

DESTINATIONS = {
    # Fault: settings dump, settings file, environment (None: not in the archive), and the host it sends to.
    "": ("site: datadoghq.com\n", "site: datadoghq.com\n", "DD_SITE=datadoghq.com", "app.datadoghq.com"),
    "flare_to_host": (
        "dd_url: https://flares.example.net:8443\nsite: datadoghq.com\n",
        "",
        "",
        "flares.example.net:8443",
    ),
    "flare_to_lookalike": ("dd_url: https://app.datadoghq.com.example.net\n", "", "", "app.datadoghq.com.example.net"),
    "flare_to_user": ("dd_url: https://app.datadoghq.com@example.net/\n", "", "", "example.net"),
    "flare_to_dd_url": ("site: datadoghq.eu\ndd_url: https://app.us3.datadoghq.com\n", "", "", "app.us3.datadoghq.com"),
    "flare_to_environment": (
        "site: us5.datadoghq.com\n",
        "site: datadoghq.eu\n",
        "DD_SITE=us5.datadoghq.com",
        "app.us5.datadoghq.com",
    ),
    "flare_to_unmerged": (None, "site: datadoghq.eu\n", "DD_URL=https://flares.example.net", "flares.example.net"),
    "flare_to_file": (None, "site: ap1.datadoghq.com\n", None, "app.ap1.datadoghq.com"),
    "flare_to_default": ('site: ""\ndd_url: ""\nlogs_config:\n  dd_url: example.net\n', "", "", "app.datadoghq.com"),
    "flare_to_commented": (
        "# site: example.net\r\nsite: \"datadoghq.eu\" # not example.net\r\ndd_url: ''  # dd_url: https://example.net\r\n",
        "",
        "",
        "app.datadoghq.eu",
    ),
    "flare_to_plain_http": ("dd_url: http://app.datadoghq.com\n", "", "", "app.datadoghq.com"),
    "flare_to_nowhere": (None, None, None, "app.datadoghq.com"),
}
"""
The settings that determine where a flare is sent, by fault.

The Agent replaces `app.` in a Datadog host with `X-Y-Z-flare.agent.` (its version is X.Y.Z).
"""

CONFIRMATION = "Are you sure you want to upload a flare? [y/N]"
LEDGER = "flare-ledger.jsonl"
NAMES = {"security-agent": "the Security Agent", "agent": "the agent", "datadog-agent": "the agent"}


def read_ledger(folder: str) -> List[Dict[str, Any]]:
    """All events in the ledger of one Agent's flares, in order."""
    path = os.path.join(folder, LEDGER)  # noqa: PTH118
    if not os.path.exists(path):  # noqa: PTH110
        return []
    with open(path) as file:  # noqa: PTH123
        return [json.loads(line) for line in file]


class Scanner:
    """Go's bufio.Scanner on stdin: input that it has buffered beyond the returned line is lost with it."""

    def __init__(self) -> None:
        self._buffer = b""

    def line(self) -> str:
        """Return the next line, stripped; empty at the end of the input, and for a line of more than 64 KiB."""
        while b"\n" not in self._buffer:
            data = os.read(0, 4096)
            if not data:
                break
            self._buffer += data
            if len(self._buffer) > 64 * 1024:
                return ""
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "replace").strip()


class Flare:
    """One run of the flare command."""

    def __init__(self, argv: Sequence[str], behaviour: Dict[str, Any], folder: str) -> None:
        self._argv = list(argv)
        self._binary = os.path.basename(argv[0])  # noqa: PTH119
        self._fault = str(behaviour.get("fault", ""))
        self._delay_s = float(behaviour.get("delay_s", 0.0))
        numbers = str(behaviour.get("version", "7.70.1")).split("-")[0].split(".")
        self._removes = self._binary != "security-agent" and int(numbers[1]) >= 78
        self._host = _sent_to(DESTINATIONS.get(self._fault, DESTINATIONS[""])[3], numbers)
        self._folder = folder
        self._local = False
        words = [word for word in argv[2:] if not word.startswith("-")]
        self._email = self._option("--email", "-e")
        self._case = next((word for word in words if word != self._email), "")
        stamp = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
        self._path = os.path.join(folder, "datadog-agent-%s-info.zip" % stamp)  # noqa: PTH118

    def run(self) -> NoReturn:
        """Run the command to its end."""
        self._write("started", argv=self._argv, pid=os.getpid())
        self._refuse_arguments()
        if self._binary != "security-agent":
            self._say("NEW: You can now generate a flare from the comfort of your Datadog UI!")
            self._say("See https://docs.datadoghq.com/agent/troubleshooting/send_a_flare/ for more info.")
        if not self._email or self._fault == "flare_email_asked":
            self._say("Please enter your email: ")
            self._email = Scanner().line()
            self._write("email", answer=self._email)
        self._build()
        if self._fault == "flare_unasked":
            self._upload()
        if "--send" not in self._argv and "-s" not in self._argv and not self._confirmed():
            if self._fault == "flare_ignores_no":
                self._upload()
            self._say("Aborting. (You can still use %s)" % self._path)
            self._end(0)
        self._upload()

    def _refuse_arguments(self) -> None:
        if self._fault == "flare_unknown" or (
            self._fault == "flare_security_unknown" and self._binary == "security-agent"
        ):
            self._fail('unknown command "flare" for "%s"' % self._binary)
        if self._fault == "flare_unknown_flag" and "--no-color" in self._argv:
            self._fail("unknown flag: --no-color")
        if "--local" in self._argv and self._binary == "security-agent":
            self._fail("unknown flag: --local")
        if "--keep-archive" in self._argv and not self._removes:
            self._fail("unknown flag: --keep-archive")

    # -- building -------------------------------------------------------------------------------------------

    def _build(self) -> None:
        fault = self._fault
        if fault == "flare_question":
            self._say("Profiles look like false positives. Collect them again? [y/N]")
            self._write("question", answer=Scanner().line())
        if fault == "flare_no_token":
            self._fail(
                "unable to read authentication token file: open /etc/datadog-agent/auth_token: permission denied"
            )
        self._say("Asking %s to build the flare archive." % NAMES[self._binary])
        time.sleep(self._delay_s)
        if fault == "flare_dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "flare_ends_early":
            self._end(0)
        while fault == "flare_hangs":
            signal.pause()
        while fault == "flare_floods":
            self._say("2026-11-24 10:00:00 UTC | CORE | INFO | " + "x" * 4000)
        self._fall_back()
        if fault == "flare_never_there" or (fault == "flare_other_container" and "--local" not in self._argv):
            self._be_elsewhere()
        self._save()

    def _fall_back(self) -> None:
        down = self._fault == "flare_security_down" and self._binary == "security-agent"
        if not down and self._fault not in ("flare_local", "flare_build_error"):
            return
        if self._binary == "security-agent":
            self._say(
                'The agent was unable to make a full flare: Post "https://localhost:5010/agent/flare": connection refused.'
            )
            self._say("Initiating flare locally, some logs will be missing.")
        else:
            self._say("The agent was unable to make the flare. (is it running?)")
            self._say("Initiating flare locally.")
        self._local = True
        if self._fault == "flare_build_error":
            words = "mkdir /tmp/datadog-agent-123: no space left on device"
            self._say("The flare zipfile failed to be created: %s" % words)
            self._fail(words)

    def _be_elsewhere(self) -> None:
        if self._binary == "security-agent":
            return  # it does not check that the archive exists
        self._say('The flare zipfile "%s" does not exist.' % self._path)
        self._say(
            "If the agent running in a different container try the '--local' option to generate the flare locally"
        )
        self._fail("the flare zipfile does not exist")

    def _save(self) -> None:
        fault, path = self._fault, self._path
        elsewhere = fault in ("flare_missing", "flare_other_container", "flare_never_there") and (
            fault == "flare_missing" or self._binary == "security-agent"
        )
        if fault == "flare_corrupt":
            data = b"this is no archive\n" * 100
        else:
            data = pack(members(self._binary, fault, local=self._local), fault)
        if not elsewhere:
            temporary = "%s.%d" % (path, os.getpid())
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(temporary, path)  # noqa: PTH105
        self._write("built", archive=path, sha256=hashlib.sha256(data).hexdigest())

    # -- confirmation ---------------------------------------------------------------------------------------

    def _confirmed(self) -> bool:
        fault, path = self._fault, self._path
        named = {
            "flare_bad_path": "/etc/shadow.zip",
            "flare_control_path": self._folder + "/datadog-agent-\x1b[2J\u202e.zip",
        }.get(fault, path)
        if fault == "flare_two_paths":
            self._say("%s is going to be uploaded to Datadog" % path.replace("-info", "-debug"))
        if fault != "flare_no_path":
            self._say("%s is going to be uploaded to Datadog" % named)
        words = (
            "Do you really want to send this flare to Datadog? [yes/no]"
            if fault == "flare_new_wording"
            else CONFIRMATION
        )
        self._say(words + "\nAre you sure that you are sure? [y/N]" * (fault == "flare_spoke_on"))
        self._write("asked", archive=path)
        self._meddle()
        answer = Scanner().line()
        self._write("answered", answer=answer)
        return answer in ("y", "Y")

    def _meddle(self) -> None:
        """Start what a fault does while the command waits for its answer."""
        deeds = {
            "flare_changes": (3.0, self._change),
            "flare_vanishes": (3.0, lambda: os.unlink(self._path)),  # noqa: PTH108
            "flare_gives_up": (1.0, self._give_up),
            "flare_speaks": (1.0, lambda: self._say("Or would you rather keep it? [y/N]")),
        }
        if self._fault in deeds:
            timer = threading.Timer(*deeds[self._fault])
            timer.daemon = True
            timer.start()

    def _give_up(self) -> None:
        self._write("ended", status=1)
        os._exit(1)

    def _change(self) -> None:
        with open(self._path, "ab") as file:  # noqa: PTH123
            file.write(b"more")

    # -- uploading ------------------------------------------------------------------------------------------

    def _upload(self) -> NoReturn:
        fault = self._fault
        if fault == "flare_not_taken":
            self._say("Aborting. (You can still use %s)" % self._path)
            self._end(0)
        if fault == "flare_upload_dies":
            os.kill(os.getpid(), signal.SIGKILL)
        while fault == "flare_upload_hangs":
            signal.pause()
        for _ in range(_ARRIVALS.get(fault, 0)):
            self._arrive()
        if fault in _REFUSALS:
            said, error = _REFUSALS[fault]
            self._write("refused", archive=self._path)
            self._say(said)
            self._fail(error.replace("<host>", self._host))
        if fault == "flare_swapped":
            self._change()
        self._arrive()
        if self._removes and "--keep-archive" not in self._argv:
            os.unlink(self._path)  # noqa: PTH108
        number = "0" if fault == "flare_case_0" else self._case or "9000001"
        success = "Your logs were successfully uploaded. For future reference, your internal case id is %s" % number
        self._say("" if fault == "flare_silent" else success)
        if fault == "flare_contradiction":
            self._fail("unexpected end of JSON input")
        self._end(0)

    def _arrive(self) -> None:
        """Record one complete POST in the ledger. The archive is read anew each time."""
        with open(self._path, "rb") as file:  # noqa: PTH123
            digest = hashlib.sha256(file.read()).hexdigest()
        facts = {"sha256": digest, "case": self._case, "email": self._email, "host": self._host}
        self._write("uploaded", archive=self._path, **facts)

    # -- helpers --------------------------------------------------------------------------------------------

    def _option(self, *names: str) -> str:
        for at, word in enumerate(self._argv):
            if word in names and at + 1 < len(self._argv):
                return self._argv[at + 1]
        return ""

    def _say(self, line: str) -> None:
        if self._fault == "flare_coloured":
            line = "\x1b[34m%s\x1b[0m\r" % line
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def _fail(self, error: str) -> NoReturn:
        sys.stderr.write("Error: %s\n" % error)
        self._end(255)

    def _end(self, status: int) -> NoReturn:
        self._write("ended", status=status)
        sys.exit(status)

    def _write(self, event: str, **facts: Any) -> None:
        line = json.dumps({"event": event, "at": time.time(), **facts}) + "\n"
        descriptor = os.open(os.path.join(self._folder, LEDGER), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)  # noqa: PTH118
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


_UNDESERIALISED = "Error: could not deserialize response body -- Please contact support by email."
_REFUSALS = {
    "flare_refused": (
        (
            "An error occurred while uploading the flare: this case does not exist or does not belong to this e-mail address."
            " Please contact support by email and facilitate the request uuid: `2b3f7c1e-0000-4000-8000-5c1d7e0f9a11`."
        ),
        "this case does not exist or does not belong to this e-mail address",
    ),
    "flare_api_key": (
        "",
        "HTTP 403 Forbidden: Make sure your API key is valid. API Key ending with: " + "f00" + "42",
    ),
    "flare_api_key_missing": ("", "HTTP 403 Forbidden: API key is missing"),
    "flare_retries": (
        "",
        "failed to send flare after 3 attempts: HTTP 503 Service Unavailable\nServer returned:\n<html>down</html>",
    ),
    "flare_retries_arrive": (
        "",
        "failed to send flare after 3 attempts: HTTP 504 Gateway Timeout\nServer returned:\n<html>gateway</html>",
    ),
    "flare_times_out": (
        "",
        (
            'failed to send flare after 3 attempts: Post "https://<host>/support/flare": net/http: request canceled'
            " (Client.Timeout exceeded while awaiting headers)"
        ),
    ),
    "flare_end_of_answer": ("", 'Post "https://<host>/support/flare": EOF'),
    "flare_http_error": (_UNDESERIALISED, "HTTP 502 502 Bad Gateway\nServer returned:\n<html>bad</html>"),
    "flare_too_large": (
        _UNDESERIALISED,
        "HTTP 413 413 Request Entity Too Large\nServer returned:\n<html>too large</html>",
    ),
    "flare_unreachable": (
        "",
        "We couldn't reach the flare backend https://<host>/support/flare via redirects: 502 Bad Gateway",
    ),
    "flare_unreachable_old": ("", "Could not determine flare URL via redirects: 502 Bad Gateway"),
    "flare_proxy_login": ("", 'Head "https://<host>/support/flare": Proxy Authentication Required'),
    "flare_content_type": (
        _UNDESERIALISED,
        "Server returned a 200 but with an unknown content-type text/html\nServer returned:\n<html>Sign in</html>",
    ),
    "flare_no_content_type": (
        _UNDESERIALISED,
        'Server returned a 200 but with no content-type header\nServer returned:\n{"case_id": 1}',
    ),
    "flare_garbled": (_UNDESERIALISED, 'unexpected end of JSON input\nServer returned:\n{"case_'),
}
_ARRIVALS = {
    "flare_retries_arrive": 3,
    "flare_times_out": 3,
    "flare_end_of_answer": 1,
    "flare_http_error": 1,
    "flare_no_content_type": 1,
    "flare_garbled": 1,
}
"""How many complete uploads precede the failure that the Agent sees, by fault."""


def _sent_to(host: str, numbers: Sequence[str]) -> str:
    ours = any(host == "app." + site for site in _SITES)
    return "%s-flare.agent.%s" % ("-".join(numbers), host[4:]) if ours else host


_SITES = ("datadoghq.com", "us3.datadoghq.com", "us5.datadoghq.com", "ap1.datadoghq.com", "datadoghq.eu")


def members(binary: str, fault: str = "", *, local: bool = False) -> Dict[str, bytes]:
    """The files of an archive: name and content. Apparent secrets are assembled here."""
    host = "node-1"
    stars = "*" * 28 + "abcd"
    log = "".join(
        "2026-11-24 10:%02d:%02d UTC | CORE | INFO | (pkg/collector/runner.go:%d in work) | check:cpu | Running check\n"
        % (number // 60 % 60, number % 60, number)
        for number in range(400)
    )
    found = {
        **settings(fault, stars),
        "logs/%s.log" % binary: log + "pid %d at %r\n" % (os.getpid(), time.time()),
        "permissions.log": "File path | mode | owner\n",
    }
    if binary == "security-agent":
        found["runtime-security.d/default.policy"] = "version: 1.2.3\nrules: []\n"
    if local:
        found["local"] = ""
    else:
        found["status.log"] = "Agent (v7.70.1)\n===============\n"
    if fault == "flare_secrets":
        found["logs/checks.log"] = "".join((
            "2026-11-24 10:00:00 UTC | CORE | ERROR | connecting to postgres://csm:", "hunter2", "@db-1.example/app failed\n",
            "Authorization: ", "Bearer ", "0123456789abcdef" * 4, "\n", "db_", "password=", "correct-horse\n",
        ))  # fmt: skip
        found["etc/confd/postgres.yaml"] = "instances:\n  - host: db-1\n    " + "password" + ": hunter2-battery\n"
    if fault == "flare_hostile_names":
        found.update({"../../etc/cron.d/x": "x\n", "<!channel> \x1b[31m\u202egnp.log": "y\n", "a\nb.log": "z\n"})
    packed = {"%s/%s" % (host, name): text.encode() for name, text in found.items()}
    packed["%s/expvar/heap.profile" % host] = bytes(range(256)) * 8
    return packed


def settings(fault: str, stars: str) -> Dict[str, str]:
    """The files of an archive that hold the destination's settings."""
    dump, file, environment, _ = DESTINATIONS.get(fault, DESTINATIONS[""])
    found = {}
    if file is not None:
        found["etc/datadog.yaml"] = 'api_key: "%s"\n%stags: [env:prod]\n' % (stars, file)
    if dump is not None:
        found["runtime_config_dump.yaml"] = 'api_key: "%s"\n%sproxy:\n  https: http://csm:********@proxy.example\n' % (
            stars,
            dump,
        )
    if environment is not None:
        lines = ["Found the following envvars:", " -  DD_HOSTNAME=node-1"]
        found["envvars.log"] = "\n".join(lines + [" -  " + environment] * bool(environment)) + "\n"
    return found


def pack(files: Dict[str, bytes], fault: str = "") -> bytes:
    """Build the zip archive of these files; some faults damage it."""
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        if fault == "flare_bomb":
            with archive.open("node-1/logs/zeros.log", "w", force_zip64=True) as member:
                for _ in range(300):
                    member.write(b"0" * 1023 + b"\n" + b"\n" * (1024 * 1024 - 1024))
        if fault == "flare_many_files":
            for number in range(60000):
                archive.writestr("node-1/logs/%d.log" % number, b"")
    data = buffer.getvalue()
    if fault == "flare_encrypted":
        # Set the encryption flag in the central directory's last entry and in that file's local header.
        at = data.rindex(b"PK\x01\x02")
        header = int.from_bytes(data[at + 42 : at + 46], "little")
        changed = bytearray(data)
        changed[at + 8] |= 1
        changed[header + 6] |= 1
        data = bytes(changed)
    return data[: len(data) // 2] if fault == "flare_truncated" else data


def main() -> None:
    """
    Run as the binary that the first argument names. The behaviour comes from the environment, or else from a file.
    """
    text = os.environ.get("STAND_IN_AGENT")
    if text is None:
        with open(os.environ.get("STAND_IN_AGENT_FILE", "/etc/stand-in-agent.json")) as file:  # noqa: PTH123
            text = file.read()
    Flare(sys.argv[1:], json.loads(text), os.environ.get("TMPDIR", "/tmp")).run()  # noqa: S108


if __name__ == "__main__":
    main()
