"""Run by torchrun in test_distributed.py and test_gpu.py: trains each case and writes what each process ends with.

several_processes.py FOLDER [DEVICE]      on "cuda:0" all processes share one GPU, which gloo allows and NCCL does not
"""

import sys
from pathlib import Path

import torch

import byol_tutorial as bt
from byol_tutorial.runtime import distributed

TINY = {"width": 4, "hidden_dim": 16, "projection_dim": 8, "batch_size": 8, "epochs": 2, "warmup_epochs": 0.0}
CASES = {
    "byol": {"norm": "gn_ws"},
    "negatives": {"norm": "gn_ws", "negatives_weight": 1.0},
    "simclr": {
        "norm": "gn_ws",
        "negatives_weight": 1.0,
        "predictor": "identity",
        "target": "online",
        "stop_gradient": False,
    },
    "method simclr": {"norm": "gn_ws", "method": "simclr"},
    "method simsiam": {"norm": "gn_ws", "method": "simsiam"},
    "dino": {"norm": "gn_ws", "method": "dino", "prototypes": 12, "local_crops": 3},
    "dino by sinkhorn": {"norm": "gn_ws", "method": "dino", "prototypes": 12, "centering": "sinkhorn"},
    "optimal": {"norm": "gn_ws", "predictor": "optimal"},
    "lars in two passes": {"norm": "gn_ws", "optimizer": "lars", "accumulation_steps": 2, "trust_coefficient": 0.02},
    "clipped": {"norm": "gn_ws", "clip_grad_norm": 0.1, "accumulation_steps": 2},
    "batchnorm": {},
}
STEPS = 3


def train(case: str, device: str = "cpu") -> bt.Trainer:
    torch.backends.cudnn.allow_tf32 = False
    trainer = bt.Trainer(bt.Config(**(TINY | CASES[case])), bt.load("shapes", limit=44), device=device)
    for _ in range(STEPS):
        trainer.step()
    return trainer


def result(trainer: bt.Trainer) -> dict:
    return {
        "weights": [p.detach().clone().cpu() for p in trainer.model.parameters()],
        "loss": trainer.history.loss,
        "norm": trainer.history.gradient_norm,
    }


if __name__ == "__main__":
    out, device = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "cpu"
    torch.set_num_threads(1)
    distributed.join("cpu")
    rank = distributed.process().rank
    torch.save({case: result(train(case, device)) for case in CASES}, out / f"{rank}.pt")
    trainer = bt.Trainer(bt.Config(**TINY), bt.load("shapes", limit=44), bt.load("shapes", "test", limit=40), device)
    trainer.run(progress=False)
    torch.save(result(trainer), out / f"run-{rank}.pt")
    trainer.save(out / f"checkpoint-{rank}.pt")
    gathered = distributed.all_rows(torch.full((2, 1), float(rank)))
    assert gathered.flatten().tolist() == [0, 0, 1, 1]
    distributed.leave()
