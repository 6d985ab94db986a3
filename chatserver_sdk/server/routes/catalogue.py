"""GET /v1/models: what there is."""

from __future__ import annotations

from fastapi import APIRouter, Response

from chatserver_sdk.models import ModelInfo, ModelsResponse

from ..errors import json_response
from .access import Anybody, Server

router = APIRouter(tags=["models"])


@router.get("/v1/models", response_model=ModelsResponse)
async def list_models(server: Server, principal: Anybody) -> Response:
    """The models that answer here."""
    found = ModelsResponse(server.catalogue.list_models())
    return json_response(200, found.to_dict())


@router.get("/v1/models/{model:path}", response_model=ModelInfo)
async def get_model(server: Server, principal: Anybody, model: str) -> Response:
    """One of them. 404 `model_not_found` where there is none of this name."""
    server.catalogue.find(model)
    found = next(info for info in server.catalogue.list_models() if info.id == model)
    return json_response(200, found.to_dict())
