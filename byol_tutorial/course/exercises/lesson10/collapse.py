"""Exercise 10-collapse, “One force alone”."""

from ..record import Exercise, Mistake

_IN_USE = ("about one", "some", "nearly all")
_LOSS = ("near 0", "between", "near ln K")
_BOTH = {
    "no_centring_in_use": "about one",
    "no_centring_loss": "near 0",
    "no_sharpening_in_use": "nearly all",
    "no_sharpening_loss": "near ln K",
}

COLLAPSE = Exercise(
    id="10-collapse",
    title="One force alone",
    kind="predict",
    difficulty=2,
    minutes=5,
    hints=(
        (
            "Sharpening makes the largest score even larger, whichever prototype it belongs to. Centring takes "
            "away what all share, and adds nothing. Where does each of them end, alone?"
        ),
        (
            "What is the cross entropy of a choice that is certain, for teacher and student alike? And of one "
            "that is even over K prototypes?"
        ),
        (
            "K = 64\n"
            "for p in (torch.eye(K)[0], torch.full((K,), 1 / K)):  # all on one, and even\n"
            "    print(float(-(p * p.clamp(min=1e-12).log()).sum()))"
        ),
    ),
    questions={
        "no_centring_in_use": _IN_USE,
        "no_centring_loss": _LOSS,
        "no_sharpening_in_use": _IN_USE,
        "no_sharpening_loss": _LOSS,
    },
    reference=_BOTH,
    mistakes=(
        Mistake(
            "exchanged",
            {
                "no_centring_in_use": "nearly all",
                "no_centring_loss": "near ln K",
                "no_sharpening_in_use": "about one",
                "no_sharpening_loss": "near 0",
            },
            "the other way round: sharpening, left alone, puts all weight on one prototype; centring, left alone, evens out.",
        ),
        Mistake(
            "no centring keeps many",
            {"no_centring_in_use": "nearly all"},
            "no_centring_in_use: sharpening makes the largest score larger, and nothing takes away what all pictures share, so one "
            "prototype wins more and more pictures.",
        ),
        Mistake(
            "no centring keeps some",
            {"no_centring_in_use": "some"},
            "no_centring_in_use: nothing holds sharpening back, so it does not stop half way: which prototype loses a picture to a larger one?",
        ),
        Mistake(
            "the loss of a collapse is always large",
            {"no_centring_loss": "near ln K"},
            "no_centring_loss: all weight on one prototype, for teacher and student: the cross entropy of that is 0.",
        ),
        Mistake(
            "a certain answer costs something",
            {"no_centring_loss": "between"},
            "no_centring_loss: if teacher and student always choose the same prototype and are certain of it, what is left to pay?",
        ),
        Mistake(
            "no sharpening leaves one",
            {"no_sharpening_in_use": "about one"},
            "no_sharpening_in_use: centring takes away what all pictures share, so no prototype can take them all.",
        ),
        Mistake(
            "no sharpening leaves some",
            {"no_sharpening_in_use": "some"},
            "no_sharpening_in_use: nothing gives the teacher contrast, so its answers even out over all prototypes.",
        ),
        Mistake(
            "the loss of a collapse is always small",
            {"no_sharpening_loss": "near 0"},
            "no_sharpening_loss: all prototypes alike is agreement, but it is not free: the cross entropy of two even distributions is ln K.",
        ),
        Mistake(
            "an even answer costs less",
            {"no_sharpening_loss": "between"},
            "no_sharpening_loss: the cross entropy of two even distributions over K is as large as it can be. How large is that?",
        ),
    ),
    praise="right: two opposite collapses, and each force holds the other back.",
)
