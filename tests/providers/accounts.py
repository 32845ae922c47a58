"""The keys of the tests' accounts, with which each service's adapter is opened."""

from providers.azure import AzureProvider
from providers.facepp import FaceppProvider
from providers.rekognition import RekognitionProvider

AZURE_KEYS = {"key": "k3y-0f-the-tests"}
FACEPP_KEYS = {"api_key": "k3y-0f-the-tests", "api_secret": "s3cret-0f-the-tests"}
REKOGNITION_KEYS = {
    "access_key_id": "AKIDOFTHETESTS",
    "secret_access_key": "s3cret-0f-the-tests",
    "session_token": "t0ken-0f-the-tests",
}
ADAPTERS = {
    "azure": (AzureProvider, AZURE_KEYS),
    "facepp": (FaceppProvider, FACEPP_KEYS),
    "rekognition": (RekognitionProvider, REKOGNITION_KEYS | {"region": "us-east-1"}),
}
