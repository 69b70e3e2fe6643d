"""What several exercises of lesson 04 use: the answers that their questions allow."""

LEARNS = ("learns", "learns nothing")
