"""Local servers that speak each service's wire protocol, with a real embedding network behind."""
