"""What torch and faiss say of this machine, from a process of its own.

    python -m launch.doctor.torch_probe

Importing torch may take long, fail, or end the process: then this one, not the doctor.
"""

import importlib
import importlib.metadata

from launch.processes.children import answer


def main() -> None:
    """Import both and say what they see."""
    import torch

    from launch.distributed import why_no_gpu_ranks

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    answer(
        part="torch",
        version=str(torch.__version__),
        cuda=torch.version.cuda or torch.version.hip,
        gpus=[
            {"name": properties.name, "gib": properties.total_memory / 2**30}
            for properties in map(torch.cuda.get_device_properties, range(count))
        ],
        why_no_gpu_ranks=why_no_gpu_ranks(),
    )
    faiss = importlib.import_module("faiss")
    see_gpus = getattr(faiss, "get_num_gpus", None)
    answer(part="faiss", version=str(faiss.__version__), gpus=int(see_gpus()) if see_gpus else 0)


if __name__ == "__main__":
    main()
