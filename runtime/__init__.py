"""Everything after the bundle: secrets, certificates, engines, terminals."""
