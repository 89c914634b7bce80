"""Identity and origin: digests, Merkle roots, fingerprints, the per-drive ledger, signatures, lineage."""
