"""One real program of every runtime that banks, browsers and shells use: each gets what it asks for over HTTP/1.1."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from serving.served_models import Running, tensor
from waiting import PATIENCE

HERE = Path(__file__).parent / "runtimes"
INFER = "/v2/models/fraud/infer"
BODY = json.dumps({"inputs": [tensor("features", "FP64", [0.5, 0.25], [1, 2])]})

PROJECT = """
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType><TargetFramework>net8.0</TargetFramework><RollForward>Major</RollForward>
  </PropertyGroup>
</Project>
"""


def required(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def run(folder: Path, *command: str | Path) -> list[str]:
    environment = os.environ | {"GOCACHE": str(folder), "HOME": str(folder), "DOTNET_CLI_TELEMETRY_OPTOUT": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def assert_answered(lines: list[str], count: int) -> None:
    """Every line is a status and an answer, and all answers hold the same prediction."""
    assert [line[:4] for line in lines] == ["200 "] * count, lines
    assert {json.dumps(json.loads(line[4:])["outputs"][1]["data"]) for line in lines} == {"[1]"}


@pytest.mark.parametrize("options", [[], ["--http2"], ["--http1.0"], ["-H", "Expect: 100-continue", "--http2"]])
def test_curl(server: Running, tmp_path: Path, options: list[str]) -> None:
    """The command line's client, with and without an offer of HTTP/2."""
    words = ("-s", "--max-time", "20", "-w", "%{stderr}", "-o", "-", "-d", BODY, server.url + INFER)
    lines = run(tmp_path, required("curl"), *options, *words)
    assert_answered([f"200 {line}" for line in lines], 1)


def test_curl_that_knows_better_is_refused_in_words(server: Running, tmp_path: Path) -> None:
    """HTTP/2 without an offer is refused in HTTP/1.1, and the connection closes."""
    command = [required("curl"), "-s", "--max-time", "20", "--http2-prior-knowledge", server.url + "/v2"]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode not in (0, 28)
    assert server.ask("/v2").status == 200


def test_java(server: Running, tmp_path: Path) -> None:
    """Java's own client offers HTTP/2 with every request unless told not to; bodies that wait for the word, too."""
    lines = run(
        tmp_path,
        required("java"),
        "-Xshare:auto",
        "-XX:TieredStopAtLevel=1",
        HERE / "Ask.java",
        server.url + INFER,
        BODY,
    )
    assert_answered(lines, 6)


def test_node(server: Running, tmp_path: Path) -> None:
    """Node's fetch and its older client."""
    assert_answered(run(tmp_path, required("node"), HERE / "ask.mjs", server.url + INFER, BODY), 2)


@pytest.mark.slow
def test_go(server: Running, tmp_path: Path) -> None:
    """Go's client, with a length and with chunks."""
    assert_answered(run(tmp_path, required("go"), "run", HERE / "ask.go", server.url + INFER, BODY), 2)


@pytest.mark.slow
def test_dotnet(server: Running, tmp_path: Path) -> None:
    """.NET's client, which falls back from an HTTP/2 that is declined."""
    program = required("dotnet")
    (tmp_path / "Ask.csproj").write_text(PROJECT, encoding="utf-8")
    shutil.copy(HERE / "Ask.cs", tmp_path)
    lines = run(tmp_path, program, "run", "--project", tmp_path, "--", server.url + INFER, BODY)
    assert_answered(lines[-2:], 2)
