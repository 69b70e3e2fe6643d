"""Exercise 09-tight, “A class drawn together”."""

from ..record import Exercise, Mistake


def _sizes(answer: dict) -> str | None:
    if not 0.6 <= answer["umap"] <= 1.6:
        return "umap: not near 1"
    if not 0.04 <= answer["pca"] <= 0.25:
        return "pca: not near a tenth"
    return None


TIGHT = Exercise(
    id="09-tight",
    title="A class drawn together",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "Which stars are nearest to which, before and after?",
        (
            "PCA is a linear map: a tenth of the size in y is about a tenth in the map. UMAP's weights are "
            "distances divided by σ, and σ shrinks with them."
        ),
        (
            "d = torch.rand(1, 5).sort().values\n"
            "for scale in (1.0, 0.1):\n"
            "    print(torch.exp(-(scale * d - scale * d[:, :1]) / (scale * 0.3)))  # UMAP's weights, before and after"
        ),
    ),
    questions={"umap": (0.0, 2.0), "pca": (0.0, 2.0)},
    reference={"umap": 1.0, "pca": 0.1},
    accept=_sizes,
    mistakes=(
        Mistake(
            "both a tenth",
            {"umap": 0.1},
            "umap: each point's distances are measured in a unit of its own, σ. A tenth of all distances gives a tenth of σ.",
            when=lambda seen, wanted: seen[0]["umap"] < 0.6,
        ),
        Mistake(
            "an island that grows",
            {"umap": 2.0},
            "umap: why should the island grow? Its inner neighbours and their weights are the same as before.",
            when=lambda seen, wanted: seen[0]["umap"] > 1.6,
        ),
        Mistake(
            "both unchanged",
            {"pca": 1.0},
            "pca: PCA is a linear map, so what is ten times smaller in y is about ten times smaller in the map.",
            when=lambda seen, wanted: seen[0]["pca"] > 0.25,
        ),
        Mistake(
            "nothing left",
            {"pca": 0.0},
            "pca: small, but a tenth in y is about a tenth in the map, too.",
            when=lambda seen, wanted: seen[0]["pca"] < 0.04,
        ),
    ),
    praise="right: PCA tells sizes, UMAP does not.",
)
