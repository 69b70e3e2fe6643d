"""What a panel says about its parts on hover and focus: a sentence, an equation, and the lesson to read; see hints.js."""

from collections.abc import Mapping

LESSONS = {  # number: (file without its ending, title)
    "1": ("01_the_idea", "Lesson 1: the idea"),
    "2": ("02_augmentations", "Lesson 2: augmentations"),
    "3": ("03_build_byol", "Lesson 3: build BYOL"),
    "4": ("04_predictor_asymmetry", "Lesson 4: the predictor"),
    "5": ("05_ema_and_collapse", "Lesson 5: moving average and collapse"),
    "6": ("06_between_simclr_and_byol", "Lesson 6: between SimCLR and BYOL"),
    "7": ("07_train_for_real", "Lesson 7: train for real"),
    "8": ("08_judge_it", "Lesson 8: judge it"),
    "9": ("09_see_it_umap", "Lesson 9: see it"),
    "10": ("10_family", "Lesson 10: the family"),
}


def explained(texts: Mapping[str, tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Return each part's explanation as a panel's JavaScript needs it.

    texts: part -> (what it is and does, equation or "", number of the lesson).
    """
    found = {}
    for part, (text, equation, lesson) in texts.items():
        file, title = LESSONS[lesson]
        found[part] = {"text": text, "equation": equation, "file": file, "lesson": title}
    return found
