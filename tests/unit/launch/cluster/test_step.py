"""The words of srun: one task a node, all that the job has there, and nothing of what shaped other steps."""

import os
import socket
import subprocess

import pytest

from launch.cluster.allocation import Allocation, Node
from launch.cluster.interface import interface_to
from launch.cluster.step import pick_port, port_is_free, step_environment, step_words

THREE = Allocation("12", tuple(Node(name, f"{name}.local") for name in "abc"))


def words_of(monkeypatch: pytest.MonkeyPatch, container: str = "", *, nodes: int = 2) -> list[str]:
    monkeypatch.setenv("KINREC_CONTAINER", container)
    return step_words(THREE, nodes=nodes, name="kinrec-x-1", unset=["KINREC_COMMAND"], task=["python", "-V"])


def test_one_task_on_each_of_the_first_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_of(monkeypatch)
    assert words[0] == "srun"
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--nodelist=a,b", "--overlap"} <= set(words)
    assert {"--kill-on-bad-exit=1", "--export=ALL"} <= set(words)
    assert not any(word.startswith("--gres") for word in words)
    assert words[-2:] == ["python", "-V"]


def test_gpus_are_asked_for_by_node() -> None:
    with_gpus = Allocation("12", THREE.nodes, gpus=8)
    assert "--gres=gpu:8" in step_words(with_gpus, nodes=3, name="x", unset=["A"], task=["true"])


def test_a_task_is_born_without_what_names_processes_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_of(monkeypatch)
    task = [*words[words.index("sh") : -2], "env"]
    told = subprocess.run(
        task, env={**os.environ, "KINREC_COMMAND": "1:2:3", "KEPT": "4"}, capture_output=True, text=True, check=True
    )
    assert "KEPT=4" in told.stdout
    assert "KINREC_COMMAND" not in told.stdout


def test_a_task_starts_in_its_container(monkeypatch: pytest.MonkeyPatch) -> None:
    assert words_of(monkeypatch, "apptainer exec 'a b.sif'")[-5:] == ["apptainer", "exec", "a b.sif", "python", "-V"]
    words = words_of(monkeypatch, "--container-image=x.sqsh --container-mounts=/data")
    assert words.index("--container-mounts=/data") < words.index("sh")


def test_what_shaped_the_batch_scripts_tasks_does_not_shape_ours() -> None:
    given = {"SLURM_CPUS_PER_TASK": "4", "SLURM_GPUS_PER_TASK": "1", "SLURM_MEM_PER_CPU": "1000", "SLURM_HINT": "x"}
    assert step_environment({**given, "SLURM_JOB_ID": "12", "HOME": "/root"}) == {"SLURM_JOB_ID": "12", "HOME": "/root"}


def test_a_port_is_picked_that_is_free() -> None:
    port = pick_port()
    with socket.socket() as taken:
        taken.bind(("", port))
        taken.listen()
        assert not port_is_free(port)
    assert port_is_free(port)


def test_the_interface_to_this_machine_is_its_loopback() -> None:
    assert interface_to("127.0.0.1") == "lo"
    with pytest.raises(OSError, match=r"."):
        interface_to("no-such-name.invalid")
