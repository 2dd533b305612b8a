"""A node of 250 pods and 300 devices: the collector, and beside it the tools that people walk such a node with."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path

from handlers.tc import collector
from tests.kernel.lab import OK, UNSPEC, Lab, Netns

PODS, DEVICES, RUNS = 250, 300, 3


def walks() -> tuple[float, float]:
    """Seconds that the collector takes from its start to its end, and that `tc` and `bpftool` take for what they see of the same."""
    with Lab() as lab:
        node = lab.namespace()
        pods = [lab.namespace() for _ in range(PODS)]
        for number, pod in enumerate(pods):
            node.veth(f"lxc{number}", "eth0", into=pod)
        node.veths(DEVICES - PODS, "other", into=pods[0])
        own, vendor = lab.returning(UNSPEC, "classifier_ingr"), lab.returning(OK, "cil_from_contai")
        devices = [f"lxc{number}" for number in range(PODS)]
        for device in devices:
            node.filter(device, "ingress", own, pref=10)
            node.filter(device, "egress", own, pref=10)
            node.tcx(device, "ingress", vendor)
        ours = [collected(node) for _ in range(RUNS)]
        return statistics.median(ours), walked(node, pods, devices)


def collected(node: Netns) -> float:
    """One run of the collector, which must have seen it all."""
    began = time.perf_counter()
    program = Path(collector.__file__).read_bytes()
    done = subprocess.run(["python3", "-ISB", "-"], input=program, capture_output=True, check=True)
    took = time.perf_counter() - began
    document = json.loads(done.stdout)
    (seen,) = (each for each in document["namespaces"] if each["inode"] == node.inode)
    assert sum(len(device["ingress"]) for device in seen["devices"]) == 2 * PODS
    assert len(document["namespaces"]) > PODS
    return took


def walked(node: Netns, pods: list[Netns], devices: list[str]) -> float:
    """`tc filter show` for each device and direction, and `bpftool net` in each namespace: what a script would do."""
    began = time.perf_counter()
    for device in devices:
        for direction in ("ingress", "egress"):
            line = ["tc", "-n", node.name, "-j", "filter", "show", "dev", device, direction]
            subprocess.run(line, capture_output=True, check=True)
    for each in (node, *pods):
        subprocess.run(["ip", "netns", "exec", each.name, "bpftool", "-j", "net"], capture_output=True, check=True)
    return time.perf_counter() - began
