"""How every model is read and written: one base class on dataclasses-json.

dataclasses-json supplies the interface (from_dict, to_dict, from_json, to_json, `config` on
fields). Its decoding refuses ISO dates, unknown enum values and missing keys, so ours replaces
it: a plan made once per class (`_plans`). Nothing here knows which models there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, field
from typing import Any, ClassVar, TypeVar, cast

from dataclasses_json import DataClassJsonMixin, config

from chatserver_sdk import _json
from chatserver_sdk.exceptions import DecodeError
from chatserver_sdk.raw import RawResponse

from ._plans import Plan, owning_plan_of, plan_of
from ._values import OpenEnum as OpenEnum, kind_of

M = TypeVar("M", bound="Model")


def aliased(alias: str) -> Any:
    """A field that some servers call by another name."""
    return field(default=None, metadata={"alias": alias})


def omitted(
    default: Any = None,
    *,
    other_name: str | None = None,
    minor: bool = False,
    in_answers: bool = False,
) -> Any:
    """A field that is left out of the JSON where it is None.

    other_name: what some servers call it; what came under that name is given back under it.
    minor: an answer is worth having without it; what cannot be read is kept in `extra` instead.
    in_answers: the same in answers alone; a request with it is wrong.
    """
    metadata = {"other_name": other_name, "minor": minor}
    if in_answers:
        metadata["mended"] = None
    excluded = config(exclude=lambda value: value is None)
    return field(default=default, metadata={**excluded, **metadata})


def lenient(default: Any = MISSING, *, factory: Any = MISSING, mended: Any = MISSING) -> Any:
    """A field of answers whose text is worth having without it: what cannot be read is kept in
    `extra`, and the default takes its place.

    mended: what takes its place in an answer alone, of fields of which a request needs more.
    """
    metadata = {"minor": True} if mended is MISSING else {"mended": mended}
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def counted() -> Any:
    """A number that some servers write as text."""
    return field(default=0, metadata={"counted": True})


class Model(DataClassJsonMixin):
    """What every dataclass of the wire can do.

    Reading is lenient: unknown keys are kept (`.extra`) and given back by `to_dict`, unknown enum
    values are kept, timestamps are aware (naive ones are UTC), and a field with a default may be
    absent or null. What cannot be read raises DecodeError with the class and the field; beside
    the text of an answer (reasoning, log probabilities) it is kept in `.extra` as it came.
    """

    _plan: ClassVar[Plan | None] = None
    _owning_plan: ClassVar[Plan | None] = None

    def __init_subclass__(cls) -> None:
        # Each class has plans of its own, and does not inherit them.
        cls._plan = cls._owning_plan = None

    @property
    def extra(self) -> dict[str, Any]:
        """The keys that came with this object and that its class does not know."""
        return cast(dict[str, Any], self.__dict__.setdefault("_extra", {}))

    @property
    def raw(self) -> RawResponse | None:
        """How a client's answer came: status, headers, request id. None for everything else."""
        return cast("RawResponse | None", self.__dict__.get("_raw"))

    @classmethod
    def from_dict(cls: type[M], kvs: Any, *, infer_missing: bool = False) -> M:
        """Read a decoded JSON object. Raises DecodeError."""
        if type(kvs) is not dict and not isinstance(kvs, Mapping):
            raise DecodeError(f"{cls.__name__}: expected an object, got {kind_of(kvs)}")
        return (cls._plan or plan_of(cls)).read(cls, {**kvs})

    @classmethod
    def from_decoded(cls: type[M], raw: Any) -> M:
        """The same of JSON that nobody else needs: it becomes the model, without a copy."""
        if type(raw) is not dict:
            raise DecodeError(f"{cls.__name__}: expected an object, got {kind_of(raw)}")
        return (cls._owning_plan or owning_plan_of(cls)).read(cls, raw)

    @classmethod
    def from_json(cls: type[M], s: str | bytes, **kw: Any) -> M:  # type: ignore[override]
        """Read JSON text. Raises DecodeError."""
        try:
            decoded = json.loads(s, **kw) if kw else _json.loads(s)
        except (ValueError, RecursionError) as exc:
            raise DecodeError(f"{cls.__name__}: this is not JSON: {exc}") from exc
        return cls.from_decoded(decoded)

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """The object as JSON-ready values; keys that were unknown when it was read included."""
        return plan_of(type(self)).write(self)


class MappingModel(Model, Mapping[str, Any]):
    """A model that also works as the dict that the documents describe: `admins["count"]`."""

    def __getitem__(self, key: str) -> Any:
        if key in plan_of(type(self)).fields:
            return getattr(self, key)
        return self.extra[key]

    def __iter__(self) -> Iterator[str]:
        return iter([*plan_of(type(self)).fields, *self.extra])

    def __len__(self) -> int:
        return len(plan_of(type(self)).fields) + len(self.extra)
