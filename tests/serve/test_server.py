"""The server as a process: TLS, a sample program of IMM, kills and restarts; with Spark where the worker runs jobs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_imm20200930 import models as imm
from alibabacloud_imm20200930.client import Client
from alibabacloud_tea_openapi.models import Config

from schemas.errors import UsageError
from serve.commands import listen

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SAMPLE = """
import os, sys, json
from alibabacloud_imm20200930.client import Client as imm20200930Client
from alibabacloud_tea_openapi import models as open_api_models
from alibabacloud_imm20200930 import models as imm_20200930_models
from alibabacloud_tea_util import models as util_models
from alibabacloud_tea_util.client import Client as UtilClient

class Sample:
    @staticmethod
    def create_client(access_key_id, access_key_secret):
        config = open_api_models.Config(access_key_id=access_key_id, access_key_secret=access_key_secret)
        config.endpoint = sys.argv[1]
        return imm20200930Client(config)

    @staticmethod
    def main():
        client = Sample.create_client(os.getenv("AccessKeyId"), os.getenv("AccessKeySecret"))
        request = imm_20200930_models.QueryLocationDateClustersRequest(
            project_name="test-project", dataset_name=sys.argv[2], max_results=20,
            location_date_cluster_levels=['["country", "province"]'])
        try:
            response = client.query_location_date_clusters_with_options(request, util_models.RuntimeOptions())
            print(response.body.to_map())
        except Exception as error:
            print(error.message)
            print(error.data.get("Recommend"))
            UtilClient.assert_as_string(error.message)

Sample.main()
"""
"""A program as IMM's help pages have them, but for what it asks."""


@dataclass
class Served:
    """A `lakealbum serve` of its own: its folder, and the process."""

    folder: Path
    key: dict[str, str]
    options: tuple[str, ...]
    process: subprocess.Popen[str] = field(init=False)
    address: str = field(init=False)

    def start(self) -> None:
        """Starts the server, on any free port."""
        self.process = subprocess.Popen(
            [*lakealbum("serve"), "--lake", str(self.folder / "lake"), "--port", "0", *self.options],
            stdout=subprocess.PIPE,
            stderr=(self.folder / "log").open("a"),
            text=True,
            cwd=ROOT,
            env=self.environment,
        )
        assert self.process.stdout is not None
        found = re.fullmatch(r"listening at https?://(.*)\n", self.process.stdout.readline())
        assert found, (self.folder / "log").read_text()
        self.address = found[1]

    def stop(self) -> int:
        """Ends it gracefully."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=120)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    @property
    def environment(self) -> dict[str, str]:
        """Where the programs find the keys."""
        return {**os.environ, "LAKEALBUM_CREDENTIALS": str(self.folder / "keys.json")}

    @property
    def client(self) -> Client:
        """A client of the SDK."""
        return Client(
            Config(
                access_key_id=self.key["AccessKeyId"],
                access_key_secret=self.key["AccessKeySecret"],
                endpoint=self.address,
                protocol="HTTP",
            )
        )

    def workers(self) -> list[int]:
        """The processes of the worker."""
        found = subprocess.run(["ps", "--ppid", str(self.process.pid), "-o", "pid="], capture_output=True, text=True)
        return [int(pid) for pid in found.stdout.split()]


def lakealbum(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "jobs.cli.main", *arguments]


def make(folder: Path, *options: str) -> Served:
    environment = {**os.environ, "LAKEALBUM_CREDENTIALS": str(folder / "keys.json")}
    made = subprocess.run(
        [*lakealbum("keys", "create"), "--policy", "AliyunIMMFullAccess", "--json"],
        check=True, capture_output=True, text=True, cwd=ROOT, env=environment,
    )  # fmt: skip
    return Served(folder, json.loads(made.stdout), options)


def wait_for(what: Callable[[], Any], seconds: float = 240) -> Any:
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.2)
    return found


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Served]:
    told = subprocess.run(
        [*lakealbum("serve"), "--make-certificate", str(tmp_path / "tls")],
        check=True, capture_output=True, text=True, cwd=ROOT,
    ).stdout  # fmt: skip
    assert f"SSL_CERT_FILE={tmp_path}/tls/ca.pem" in told
    assert (tmp_path / "tls/key.pem").stat().st_mode & 0o777 == 0o600
    options = ("--tls-cert", str(tmp_path / "tls/cert.pem"), "--tls-key", str(tmp_path / "tls/key.pem"), "--no-jobs")
    served = make(tmp_path, *options)
    served.start()
    yield served
    assert served.stop() == -signal.SIGTERM


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port} cannot be listened at: Address already in use"):
            listen("127.0.0.1", port)
    listen("127.0.0.1", port).close()


@pytest.mark.long
def test_sample_programs_run_with_the_endpoint_changed_alone(tls: Served, tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    environment = {
        **os.environ,
        "AccessKeyId": tls.key["AccessKeyId"],
        "AccessKeySecret": tls.key["AccessKeySecret"],
        "SSL_CERT_FILE": str(tmp_path / "tls/ca.pem"),
    }

    def run(dataset: str) -> str:
        command = [sys.executable, str(tmp_path / "sample.py"), tls.address, dataset]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    assert "ResourceNotFound" in run("test-datset") or "not found" in run("test-datset")
    assert "https://" in run("test-datset")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = make(tmp_path, "--http")
    made.start()
    yield made
    made.stop()


@pytest.mark.slow
def test_work_is_done_though_worker_and_server_are_killed(served: Served) -> None:
    here = {"project_name": "test-project", "dataset_name": "test-dataset"}
    served.client.create_project(imm.CreateProjectRequest(project_name="test-project"))
    served.client.create_dataset(imm.CreateDatasetRequest(**here))
    for day in range(20):
        place = [imm.Address(country="China", province="Zhejiang", city="Hangzhou" if day < 3 else "Jiaxing")]
        file = imm.InputFile(
            uri=f"oss://b/{day:02}.jpg",
            produce_time=f"2026-03-{day + 3:02}T10:00:00+08:00",
            addresses=place,
            custom_labels={"day": str(day)},
        )
        served.client.index_file_meta(imm.IndexFileMetaRequest(**here, file=file))
        if day == 10:
            (worker,) = wait_for(served.workers)
            os.kill(worker, signal.SIGKILL)
    days = imm.CreateLocationDateClusteringTaskRequestDateOptions(gap_days=1, min_days=1, max_days=99)
    levels = imm.CreateLocationDateClusteringTaskRequestLocationOptions(location_date_cluster_levels=["city"])
    task = served.client.create_location_date_clustering_task(
        imm.CreateLocationDateClusteringTaskRequest(**here, date_options=days, location_options=levels)
    ).body
    served.process.kill()
    served.process.wait()
    served.start()
    asked = imm.GetTaskRequest(project_name="test-project", task_id=task.task_id, task_type="LocationDateClustering")
    wait_for(lambda: served.client.get_task(asked).body.status != "Running")
    assert served.client.get_task(asked).body.status == "Succeeded"
    uris = [f"oss://b/{day:02}.jpg" for day in range(20)]
    files = served.client.batch_get_file_meta(imm.BatchGetFileMetaRequest(**here, uris=uris)).body.files
    assert [(file.uri, file.custom_labels) for file in files] == [
        (f"oss://b/{day:02}.jpg", {"day": str(day)}) for day in range(20)
    ]
    clusters = served.client.query_location_date_clusters(imm.QueryLocationDateClustersRequest(**here)).body
    assert [cluster.addresses[0].city for cluster in clusters.location_date_clusters] == ["Hangzhou", "Jiaxing"]

    update = imm.InputFile(uri="oss://b/00.jpg", custom_id="first", custom_labels={"day": "one"})
    served.client.update_file_meta(imm.UpdateFileMetaRequest(**here, file=update))
    found = served.client.get_file_meta(imm.GetFileMetaRequest(**here, uri="oss://b/00.jpg")).body.files[0]
    assert (found.custom_id, found.custom_labels) == ("first", {"day": "one"})
    served.client.batch_delete_file_meta(imm.BatchDeleteFileMetaRequest(**here, uris=uris))
    gone = served.client.batch_get_file_meta(imm.BatchGetFileMetaRequest(**here, uris=uris)).body.files
    assert gone == []
    served.client.delete_dataset(imm.DeleteDatasetRequest(**here))
    served.client.create_dataset(imm.CreateDatasetRequest(**here))
    query = imm.QueryLocationDateClustersRequest(**here)
    wait_for(lambda: not served.client.query_location_date_clusters(query).body.location_date_clusters)
