"""A model whose layers are cut over two ranks answers as the whole one does, and goes on where it was killed."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from launch.errors import InputError
from tests.distributed.test_generate_ranks import FILES, generate_on
from tests.ranks import run_ranks
from tests.tiny_generation import CONSTRAINED, FREE, generate_alone, parts_alone, write_answerable_run
from training.answers.config import GenerationConfig
from training.base_model import load_tuned_model

pytestmark = pytest.mark.slow
CONFIGS = {
    "rank": replace(CONSTRAINED, by="rank", prior_weight=1.0),
    "constrained": CONSTRAINED,
    "free": replace(FREE, rescore=True, prior_weight=0.5),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_two_ranks_together_answer_as_one_alone(tmp_path: Path, config: GenerationConfig) -> None:
    write_answerable_run(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    generate_alone(config, tmp_path / "one")
    for part in parts_alone(config, tmp_path / "two", "valid")[::2]:  # some parts are left of a killed start
        part.unlink()
    run_ranks(generate_on, 2, tmp_path / "two", replace(config, tensor_parallel=True))
    for name in FILES[:2]:
        one, two = (pq.read_table(tmp_path / run / name) for run in ("one", "two"))
        for column in ("sample", "items", "texts", "grounded"):
            assert two[column].equals(one[column]), column
        scores = [table["text_scores"].combine_chunks().flatten().to_numpy() for table in (one, two)]
        np.testing.assert_allclose(scores[1], scores[0], rtol=1e-4)


def test_heads_that_cannot_be_shared_out_are_refused(tmp_path: Path) -> None:
    write_answerable_run(tmp_path)
    with pytest.raises(InputError, match=r"2 heads of attention and 2 of keys cannot be shared out to 3 ranks; set"):
        load_tuned_model(tmp_path / "llm/model", precision="fp32", ranks=3)
