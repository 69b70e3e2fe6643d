"""Exercise 09-collapse, “A collapse, mapped”."""

from ..record import Exercise, Mistake

COLLAPSE = Exercise(
    id="09-collapse",
    title="A collapse, mapped",
    kind="predict",
    difficulty=2,
    minutes=3,
    hints=(
        "PCA keeps the unit of what it maps. What does UMAP keep?",
        (
            "Spread 0 in PCA's unit is a dot. UMAP only asks which points are nearest to each point: have points "
            "that lie close together no nearest ones?"
        ),
        ("tiny = 1e-3 * z_byol + 1\nprint(size(pca(tiny)) / size(pca(z_byol)), size(umap(tiny)) / size(umap(z_byol)))"),
    ),
    questions={"pca": ("a dot", "a cloud"), "umap": ("a dot", "a cloud")},
    reference={"pca": "a dot", "umap": "a cloud"},
    mistakes=(
        Mistake(
            "both shrink",
            {"umap": "a dot"},
            "umap: UMAP asks which points are nearest to each point. Some always are, however near all of them are.",
        ),
        Mistake(
            "neither shrinks",
            {"pca": "a cloud"},
            "pca: in PCA's unit, which is that of BYOL's map, a spread of nearly 0 cannot be seen.",
        ),
    ),
    praise="right: only one of them has a unit of length.",
)
