"""The Open Inference Protocol over gRPC: the same models, keys, routes, limits and log as over REST."""
