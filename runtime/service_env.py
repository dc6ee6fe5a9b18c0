"""The environment of a service, as the bundle holds it and the manifest lists it: the same in every runtime."""

import json

from bottlegen.bundle import Bundle
from bottlegen.errors import BundleError


def env_of(bundle: Bundle, service: str) -> dict[str, str]:
    """The variables of a service as the bundle holds them; BundleError when its file is not what the manifest lists."""
    declared = bundle.manifest.services[service]
    env = json.loads(bundle.data(declared.env_file)) if declared.env_file else {}
    if not isinstance(env, dict) or sorted(env) != sorted(declared.env):
        raise BundleError(f"'{declared.env_file}' holds other variables than the manifest lists", fix="bottlegen build")
    return {str(name): str(value) for name, value in env.items()}
