"""The filters of the service, as templates use them."""

from __future__ import annotations

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from plugins.filter import opensora_service

UUID = "GPU-5f3c9a70-1111-2222-3333-444455556666"
GPU = {"index": 0, "uuid": UUID, "name": "NVIDIA H100", "pci_bus_id": "1", "memory_total_mib": 81559}
HOST = {
    "gpus": [GPU],
    "pci_gpu_count": 1,
    "driver": {"action": "none", "loaded": "580.159.04"},
    "engine": {"kind": "docker", "version": "29.7.2", "cdi_enabled": True},
    "toolkit": {"cdi_specs": [{"path": "/x", "kind": "nvidia.com/gpu", "devices": [UUID]}]},
}


@pytest.fixture
def settings(root):
    defaults = yaml.safe_load((root / "roles/opensora_service/defaults/main.yml").read_text(encoding="utf-8"))
    plain = {name.removeprefix("opensora_service_"): value for name, value in defaults.items()}
    return {**plain, "image": "sha256:" + "a" * 64}


def test_plan_is_yaml_that_says_who_wrote_it(settings):
    plan = opensora_service.opensora_service_plan(settings, HOST, {}, is_final=True, needs_image=True)
    assert plan["errors"] == ""
    (service,) = plan["services"]
    assert service["definition"].startswith("# Written by opensora-site")
    project = yaml.safe_load(service["definition"])
    assert list(project) == ["name", "services"]
    assert service["gpus"] == [UUID]
    assert service["gpus_known"]
    assert service["health_wait"] == 1200
    assert [folder["path"] for folder in service["directories"] if folder["writable"]] == [
        "/srv/opensora/samples",
        "/srv/opensora/cache",
    ]
    assert service["proof_command"] == ["python", "/opt/opensora-site/healthcheck.py", "--compute"]
    assert opensora_service.opensora_service_plan(settings, HOST, {}, is_final=True, needs_image=True) == plan


def test_plan_of_two_services_holds_no_secret(settings):
    second = {**GPU, "index": 1, "uuid": UUID.replace("5f", "6f"), "pci_bus_id": "2"}
    host = {**HOST, "gpus": [GPU, second]}
    instances = {"small": {"gpus": "[0]", "secrets": {"token": "hidden-word"}}, "large": {"gpus": "[1]"}}
    plan = opensora_service.opensora_service_plan(settings, host, instances, is_final=True, needs_image=True)
    assert plan["errors"] == ""
    assert [service["project"] for service in plan["services"]] == ["opensora-large", "opensora-small"]
    assert "token" in plan["services"][1]["definition"]
    assert "hidden-word" not in str(plan)


def test_one_service_by_name():
    services = [{"name": "large"}, {"name": "small"}]
    assert opensora_service.opensora_service_named(services, "") == services
    assert opensora_service.opensora_service_named(services, "small") == [{"name": "small"}]
    with pytest.raises(AnsibleFilterError, match="service is 'x', allowed is one of: large, small"):
        opensora_service.opensora_service_named(services, "x")


def test_plan_with_errors(settings):
    plan = opensora_service.opensora_service_plan(
        {**settings, "gpus": "[9]"}, HOST, {}, is_final=True, needs_image=True
    )
    assert plan["services"][0]["definition"] == ""
    assert not plan["services"][0]["gpus_known"]
    assert "opensora_service_gpus" in plan["errors"]
    assert plan["problems"][0]["layer"] == "configuration"


def test_tables():
    result = {"service": {"health": "healthy", "gpus": [UUID], "image": "sha256:" + "a" * 64}, "problems": []}
    hostvars = {"gpu01": {"gpu_host": HOST, "__opensora_service_verify": {"results": [result]}}, "gpu02": {}}
    lines = opensora_service.opensora_host_table(hostvars, ["gpu01", "gpu02"]).splitlines()
    assert "1 x NVIDIA H100" in lines[2]
    assert "healthy" in lines[2]
    assert "not verified" in lines[3]
