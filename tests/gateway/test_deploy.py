"""docs/gateway.md and docs/deploy: what they say works, as far as this machine can try it."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokenwire.gateway.config import Config, load
from tokenwire.gateway.run import KEEP_ALIVE, LAST, RESTART

from .reference import PAGE as REFERENCE
from .reference import page

PAGE = REFERENCE.parent / "gateway.md"
DEPLOY = REFERENCE.parent / "deploy"
ENVIRONMENT = {
    "TOKENWIRE_STATE_KEY": "k" * 40,
    "ANTHROPIC_API_KEY": "a-key",
    "OPENAI_API_KEY": "o-key",
}


def config() -> Config:
    file = DEPLOY / "gateway.toml"
    return load(file.read_text(), name=file.name, environment=ENVIRONMENT, read=str)


def longest() -> float:
    """Seconds from SIGTERM to the end at the latest, and some more."""
    return config().drain_delay + config().drain + LAST


def seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)(?:s|sec)?", text)
    assert found is not None
    return int(found[1])


# The page


def test_the_reference_is_that_of_the_schema() -> None:
    assert REFERENCE.read_text() == page(), "python -m tests.gateway.reference writes it"


def test_the_file_in_the_page_is_right() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found = load(text, name="docs", environment=ENVIRONMENT, read=str)
    assert [model.name for model in found.models] == ["fast", "gpt-*"]


def test_the_page_names_what_needs_a_restart() -> None:
    assert all(f"`{name}`" in PAGE.read_text() for name in RESTART)


# The files


def test_the_configuration_is_safe() -> None:
    found = config()
    assert found.keys
    assert not found.open


def test_the_container_runs_the_command_as_somebody() -> None:
    lines = dict(
        line.split(" ", 1)
        for line in (DEPLOY / "Containerfile").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert shlex.split(lines["ENTRYPOINT"].strip("[]").replace(",", " ")) == [
        "tokenwire",
        "gateway",
    ]
    assert lines["USER"] != "root"
    ports = {config().listen.rpartition(":")[2], config().admin.rpartition(":")[2]}
    assert set(lines["EXPOSE"].split()) == ports
    assert "tokenwire[gateway]" in lines["RUN"]


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "tokenwire-gateway.service")
    return parser


def test_systemd_waits_long_enough() -> None:
    service = unit()["Service"]
    assert seconds(service["TimeoutStopSec"]) > longest()
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert shlex.split(service["ExecStart"])[1:2] == ["gateway"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "tokenwire-gateway.service").read_text()
    copy = tmp_path / "tokenwire-gateway.service"
    copy.write_text(text.replace("/opt/tokenwire/bin/tokenwire", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert copy.name not in done.stderr, done.stderr


def manifest() -> tuple[dict[str, Any], dict[str, Any]]:
    deployment, service = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return deployment, service


def test_kubernetes_waits_long_enough_and_asks_operators_paths() -> None:
    deployment, service = manifest()
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    pod = deployment["spec"]["template"]
    assert pod["spec"]["terminationGracePeriodSeconds"] > longest() + 5
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert config().listen == f"0.0.0.0:{ports['http']}"
    assert config().admin == f"0.0.0.0:{ports['admin']}"
    paths = {
        name: container[name]["httpGet"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {
        "startupProbe": {"path": "/livez", "port": "admin"},
        "livenessProbe": {"path": "/livez", "port": "admin"},
        "readinessProbe": {"path": "/readyz", "port": "admin"},
    }
    # New calls are taken until the pod is known not to be ready.
    ready = container["readinessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] < config().drain_delay
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["admin"])
    # What is mounted is what is read, and what is selected is what is there.
    (mount,) = container["volumeMounts"]
    (volume,) = pod["spec"]["volumes"]
    assert mount["name"] == volume["name"]
    assert container["args"] == [f"{mount['mountPath']}/gateway.toml"]
    labels = pod["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert service["spec"]["ports"][0]["targetPort"] in ports


def test_kubernetes_configuration_is_that_of_the_container() -> None:
    (container,) = manifest()[0]["spec"]["template"]["spec"]["containers"]
    assert f'CMD ["{container["args"][0]}"]' in (DEPLOY / "Containerfile").read_text()


def directives(file: str) -> dict[str, list[str]]:
    """The lines of a configuration, by their first words."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / file).read_text().splitlines():
        words = line.partition("#")[0].strip(" {};").split()
        if words:
            found.setdefault(words[0], []).append(" ".join(words[1:]))
    return found


def deadline() -> float:
    return max(target.rules.deadline for model in config().models for target in model.targets)


def test_nginx_neither_buffers_nor_asks_twice() -> None:
    found = directives("nginx.conf")
    assert found["proxy_buffering"] == ["off"]
    assert found["proxy_next_upstream"] == ["off"]
    assert "Host localhost" in found["proxy_set_header"]
    assert seconds(found["proxy_read_timeout"][0]) > deadline()
    assert seconds(found["keepalive_timeout"][0]) < KEEP_ALIVE
    assert found["client_max_body_size"] == [f"{config().max_request >> 20}m"]


def test_haproxy_asks_whether_it_is_ready() -> None:
    found = directives("haproxy.cfg")
    assert "httpchk GET /readyz" in found["option"]
    assert found["retries"] == ["0"]
    timeouts = dict(line.split() for line in found["timeout"])
    assert min(seconds(timeouts[name]) for name in ("client", "server")) > deadline()
    port = config().admin.rpartition(":")[2]
    assert all(f"check port {port} inter 1s fall 1" in line for line in found["server"])


@pytest.mark.skipif(not shutil.which("haproxy"), reason="HAProxy is not here")
def test_haproxy_takes_the_file() -> None:
    done = subprocess.run(
        ["haproxy", "-c", "-f", str(DEPLOY / "haproxy.cfg")],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not here")
def test_nginx_takes_the_file(tmp_path: Path) -> None:
    lines = (DEPLOY / "nginx.conf").read_text().replace("8443 ssl", "8443").splitlines()
    inner = "\n".join(line for line in lines if "ssl_certificate" not in line)
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n{inner}\n}}\n")
    done = subprocess.run(
        ["nginx", "-t", "-p", str(tmp_path), "-c", str(whole)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
