"""The addresses and objects of the API, from docs/api.yaml. script/client writes this package."""
