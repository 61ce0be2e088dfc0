"""What is offered beside the protocol: rows as records, a description for tools and people, other origins."""
