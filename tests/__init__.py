"""The suites: fakes shared by all, then unit, contract, functional, infra, e2e."""
