"""What is used of stac-fastapi, brought here in one place and in the right order.

Where it is imported it reads `.env` of the working directory, which is none of ours, and warns of
defaults that nobody uses here.
"""

from __future__ import annotations

import logging

from stac_fastapi.types.config import ApiSettings

logging.getLogger("stac_fastapi").setLevel(logging.ERROR)
ApiSettings.model_config["env_file"] = None

from stac_fastapi.api.app import StacApi  # noqa: E402
from stac_fastapi.extensions import (  # noqa: E402
    FieldsExtension,
    FilterExtension,
    FreeTextExtension,
    TokenPaginationExtension,
)
from stac_fastapi.extensions.filter.client import AsyncBaseFiltersClient  # noqa: E402
from stac_fastapi.extensions.sort import (  # noqa: E402
    ItemCollectionSortExtension,
    SearchSortExtension,
)
from stac_fastapi.extensions.sort.client import AsyncBaseSortablesClient  # noqa: E402
from stac_fastapi.types.core import AsyncBaseCoreClient  # noqa: E402
from stac_fastapi.types.search import APIRequest  # noqa: E402

__all__ = [
    "APIRequest",
    "ApiSettings",
    "AsyncBaseCoreClient",
    "AsyncBaseFiltersClient",
    "AsyncBaseSortablesClient",
    "FieldsExtension",
    "FilterExtension",
    "FreeTextExtension",
    "ItemCollectionSortExtension",
    "SearchSortExtension",
    "StacApi",
    "TokenPaginationExtension",
]
