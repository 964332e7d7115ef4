"""DeepSpeed's own estimate of what a model's states need, from a process of its own: importing it takes seconds.

python -m launch.plan.deepspeed_probe PARAMETERS LARGEST_LAYER GPUS_A_NODE NODES
"""

import importlib
import sys

from launch.processes.children import answer


def main() -> None:
    """Ask for ZeRO-2 and ZeRO-3, without and with offload."""
    parameters, largest, gpus, nodes = map(int, sys.argv[1:])
    two = importlib.import_module("deepspeed.runtime.zero.stage_1_and_2").estimate_zero2_model_states_mem_needs
    three = importlib.import_module("deepspeed.runtime.zero.stage3").estimate_zero3_model_states_mem_needs
    host, gpu = two(parameters, num_gpus_per_node=gpus, num_nodes=nodes, cpu_offload=False)
    answer(what="ZeRO-2", gpu=gpu, host=host)
    for name, optimizer, weights in (("ZeRO-3", False, False), ("ZeRO-3, all offloaded", True, True)):
        host, gpu, _ = three(
            parameters, largest, num_gpus_per_node=gpus, num_nodes=nodes, cpu_offload=optimizer,
            cpu_offload_params=weights,
        )  # fmt: skip
        answer(what=name, gpu=gpu, host=host)


if __name__ == "__main__":
    main()
