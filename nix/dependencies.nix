# The dependencies of pyproject.toml by their names in nixpkgs; tests/nix compares the two lists.
ps: [
  ps.cryptography
  ps.docker
  ps.invoke
  ps.pydantic
  ps.pyyaml
  ps.rich
  ps.tomli-w
]
