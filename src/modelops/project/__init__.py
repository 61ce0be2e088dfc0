"""One opening of a repository: settings, store, forge, signer."""
