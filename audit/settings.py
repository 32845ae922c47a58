"""Keys and endpoints: from the environment, then from `.env`. Read here and nowhere else."""

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from audit.errors import UserError


class AzureSettings(BaseSettings):
    """Where the Azure Face resource is and its key; the key's repr is stars."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    endpoint: str | None = Field(default=None, validation_alias=AliasChoices("AZURE_FACE_ENDPOINT"))
    key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("AZURE_FACE_KEY"))

    def required(self, endpoint: str | None) -> tuple[str, SecretStr]:
        """Return endpoint (an explicit one wins) and key; raises UserError for what is missing."""
        endpoint = endpoint or self.endpoint
        missing = [
            name
            for name, value in (("AZURE_FACE_ENDPOINT", endpoint), ("AZURE_FACE_KEY", self.key))
            if not value
        ]
        if missing or endpoint is None or self.key is None:
            raise UserError(
                f"not set: {' and '.join(missing)}.",
                expected="the endpoint and a key of an Azure Face resource",
                remedy="set them in the environment or in .env (see .env.example), "
                "or rehearse without keys: --emulate",
            )
        return endpoint, self.key
