"""The report as JUnit XML: one test case per Agent."""

from __future__ import annotations

import re
import shlex
from xml.etree import ElementTree as ET

from bot.render.formatting import one_line, plain
from handlers.model import AgentResult, Report, Verdict, worst_first

# Characters that XML 1.0 does not allow (https://www.w3.org/TR/xml/#charsets).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(report: Report) -> str:
    """`fail` is a failure, `unknown` an error, `skipped` is skipped; `pass` and `warn` pass, as in the exit status."""
    verdicts = [result.verdict for result in report.agents]
    totals = {
        "tests": str(len(verdicts)),
        "failures": str(verdicts.count(Verdict.FAIL)),
        "errors": str(verdicts.count(Verdict.UNKNOWN)),
        "skipped": str(verdicts.count(Verdict.SKIPPED)),
        "time": f"{report.duration_s:.3f}",
    }
    # The report is `unknown`, but no Agent's case says so: nothing was observed, or not everything. Add an error, so
    # that it does not look like a suite without faults.
    unsaid = report.verdict is Verdict.UNKNOWN and not {Verdict.UNKNOWN, Verdict.FAIL} & set(verdicts)
    if unsaid:
        totals |= {"tests": str(len(verdicts) + 1), "errors": "1"}
    root = ET.Element("testsuites", {"name": "csm", **totals})
    name = _attribute(f"{report.command} {report.target}")
    suite = ET.SubElement(
        root, "testsuite", {"name": name, "timestamp": report.started.isoformat(timespec="seconds"), **totals}
    )
    _properties(suite, {"run": report.run, "verdict": report.verdict.value})
    for result in worst_first(report.agents):
        _case(suite, report, result)
    if unsaid:
        case = ET.SubElement(suite, "testcase", {"name": _attribute(report.target), "classname": name})
        ET.SubElement(case, "error", {"message": _attribute(report.reason or "No Agent was examined to the end.")})
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, report: Report, result: AgentResult) -> None:
    names = {"name": _attribute(result.agent), "classname": _attribute(f"{report.command}.{report.target}")}
    case = ET.SubElement(suite, "testcase", {**names, "time": f"{result.duration_s:.3f}"})
    properties = {"run": report.run, "verdict": result.verdict.value, "argv": shlex.join(result.argv)}
    if result.container:
        properties["container"] = result.container
    _properties(case, properties)
    kind = {Verdict.FAIL: "failure", Verdict.UNKNOWN: "error", Verdict.SKIPPED: "skipped"}.get(result.verdict)
    details = _details(result)
    if kind:
        element = ET.SubElement(case, kind, {"message": _attribute(result.reason)})
        if kind != "skipped":
            element.set("type", _attribute(result.findings[0].code if result.findings else result.verdict.value))
        element.text = details
    elif details:
        ET.SubElement(case, "system-out").text = details


def _details(result: AgentResult) -> str:
    lines = []
    for finding in result.findings:
        lines.append(f"{one_line(finding.code)} ({finding.severity.value}): {one_line(finding.summary)}")
        lines += [f"  | {plain(line, 4000)}" for line in finding.evidence]
        if finding.remediation:
            lines.append(f"  What to do: {one_line(finding.remediation.summary, 2000)}")
    return _NOT_XML.sub("", "\n".join(lines))


def _properties(parent: ET.Element, values: dict[str, str]) -> None:
    found = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(found, "property", {"name": name, "value": _attribute(value)})


def _attribute(text: str) -> str:
    return _NOT_XML.sub("", one_line(text, 1000))
