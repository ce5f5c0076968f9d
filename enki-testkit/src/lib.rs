//! Conformance suites, fakes and a seeded simulator for backends of Enki.
