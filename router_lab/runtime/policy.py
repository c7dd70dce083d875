"""`Policy`: the data of `model.PolicySpec`, made ready to decide with."""

from router_lab.runtime.model import Candidate, PolicySpec


class Policy:
    """An immutable policy. Build one from a `PolicySpec` (fit does) or load one with `router_lab.load_policy`.

    `revision` names the artifact that it came from; None for a policy not yet saved.
    """

    __slots__ = ("revision", "spec")

    def __init__(self, spec: PolicySpec, *, revision: str | None = None) -> None:
        self.spec = spec
        self.revision = revision

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Sorted by (model, effort or ""): the column order of every array."""
        return self.spec.candidates

    @property
    def reference(self) -> Candidate:
        return self.spec.profiles[self.spec.reference].candidate
