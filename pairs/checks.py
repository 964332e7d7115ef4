"""Checks of a recipe's raw files, made before any stage starts."""

from pathlib import Path

from launch.config import Recipe
from launch.errors import InputError
from launch.model_files import check_model_folder
from pairs.config import PairConfig


def check_sources(recipe: Recipe) -> None:
    """The files or the folder that the pair is read from are there, and so is what answers for attributes."""
    pair: PairConfig = recipe.sections["pair"]
    if pair.source == "amazon":
        from pairs.finding.find_files import find_files  # here: a synthetic pair has no files

        find_files(pair)
    elif pair.path is not None and not Path(pair.path).exists():
        raise InputError(f"pair.path={pair.path}: no such file or folder")
    attributes = pair.llm_attributes
    if attributes.source == "answers" and not Path(str(attributes.answers)).is_file():
        raise InputError(f"pair.llm_attributes.answers: {attributes.answers} is no file")
    if attributes.source == "local" and Path(str(attributes.model)).is_dir():
        check_model_folder(Path(str(attributes.model)), where=f"pair.llm_attributes.model={attributes.model}")
