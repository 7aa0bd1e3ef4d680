"""Cluster points that several processes share, forked from this one, which has loaded everything.

    python kmeans_in_processes.py FOLDER

The folder has `points.npy` and `jobs.json`: a list of a job's `shares` (rows of each process) and its arguments. Each
process leaves what it found of each job as `JOB-PROCESS.npz`: the clusters, or the error's words.
"""

import json
import os
import socket
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from sertool.core.clustering.kmeans import kmeans
from sertool.core.errors import InputError


def _cluster(folder: Path, rank: int) -> None:
    accelerator = Accelerator(cpu=True)
    everyones = np.load(folder / "points.npy")
    for number, job in enumerate(json.loads((folder / "jobs.json").read_text())):
        first, last = sum(job["shares"][:rank]), sum(job["shares"][: rank + 1])
        points = everyones[first:last].copy()
        if "spoiled" in job and rank == job["spoiled"]:
            points[-1, 0] = np.nan
        starts = torch.from_numpy(everyones[job["starts"]]) if "starts" in job else None
        try:
            found = kmeans(points, starts=starts, accelerator=accelerator, **job["arguments"])
        except InputError as error:
            np.savez(folder / f"{number}-{rank}.npz", error=str(error))
            continue
        content = {"centroids": found.centroids, "counts": found.counts}
        np.savez(folder / f"{number}-{rank}.npz", **content, inertia=found.inertia, iterations=found.iterations)
    accelerator.end_training()


def main() -> None:
    """Fork the processes and wait for them."""
    folder, world = Path(sys.argv[1]), 2
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    children = []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            os.environ |= {name: str(rank) for name in ("RANK", "LOCAL_RANK")}
            os.environ |= {name: str(world) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            code = 1
            try:
                _cluster(folder, rank)
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(child)
    sys.exit(any(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    main()
