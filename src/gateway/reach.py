"""What a caller may ask for."""

from functools import partial

import msgspec

from ..protocols.errors import BadRequest
from ..protocols.refusing import refuse
from .config import Config, Key, Limits, Model, Target
from .fronts import Front, unknown_model

__all__ = ["Reach", "is_alike"]

_SEVERAL = (
    "a request for a kept response does not say its model, and more than one service may have it: "
    "put the model into the path (/t/MODEL/v1/responses/...)"
)
_NOWHERE = "no model that can be asked for here has a service that keeps responses"


class Reach:
    """The models that the caller with `key` may ask for; None: any. The path of the request may
    have `named` one."""

    def __init__(self, config: Config, key: Key | None, named: str = "") -> None:
        self._config = config
        self._key = key
        self._named = named

    @property
    def names(self) -> list[str]:
        """The names of the models that a list shows."""
        names = [model.name for model in self._config.models]
        return [name for name in names if self._key is None or self._key.allows(name)]

    def model(self, asked: str) -> Model:
        """What is asked for. Raises BadRequest (404) for what is not there, or not allowed."""
        name = self._named or asked
        model = self._config.model(name)
        if model is None or not (self._key is None or self._key.allows(name)):
            raise unknown_model(name, self.names)
        return model

    def keeper(self, front: Front) -> Model:
        """A model with the only target that may have kept what is asked for: one of the model in
        the path, or else of all that the caller may ask for. Without a name in the path it is no
        certain model, so none is named, limited or charged. Raises BadRequest (400)."""
        models = [self.model("")] if self._named else self._all()
        found: dict[str, Model] = {}  # by the service: its targets differ only in their models
        for model in models:
            for target in filter(partial(is_alike, front=front), model.targets):
                alone = msgspec.structs.replace(model, targets=(target,), strategy="ordered")
                found.setdefault(target.provider.name, alone)
        if len(found) != 1:
            raise refuse(BadRequest, 400, _SEVERAL if found else _NOWHERE)
        (model,) = found.values()
        if self._named:
            return model
        return msgspec.structs.replace(model, name="", limits=Limits(), budget=None)

    def _all(self) -> list[Model]:
        """The models that can be asked for by any name."""
        config, key = self._config, self._key
        named = () if key is None else key.models or ()
        mine = [config.model(name) for name in named]
        return [
            model
            for model in config.models
            if key is None or key.allows(model.name) or any(model is each for each in mine)
        ]


def is_alike(target: Target, front: Front) -> bool:
    """Whether `target` may have the endpoints beside the chat that `front` has: it is of this
    format, and at the paths of its own vendor."""
    provider = target.provider
    own = provider.path or provider.whole_path or target.lane != "auto"
    return provider.dialect.name == front.dialect.name and not own
