# What `nix flake check` builds: tests, lint, every bundle twice and against the committed one, and the proof that this can fail.
{
  pkgs,
  bottlegen,
  bundles,
  profiles,
}:
let
  inherit (pkgs) lib;
  source = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../.ci
      ../.envrc
      ../CHANGELOG.md
      ../SECURITY.md
      ../bench
      ../CONTRIBUTING.md
      ../LICENSE
      ../README.md
      ../bottlegen
      ../bottlegen.lock
      ../bundles
      ../docs
      ../flake.lock
      ../flake.nix
      ../inv
      ../nix
      ../profiles
      ../pyproject.toml
      ../runtime
      ../tasks.py
      ../tests
      ../uv.lock
    ];
  };
  python = pkgs.python3.withPackages (
    ps:
    import ./dependencies.nix ps
    ++ [
      ps.hypothesis
      ps.pytest
    ]
  );

  # `generate` is a command that writes below the folder it is given; twice, with all that may differ between two machines
  # differing. Fails when the two are not the same bytes and execute bits.
  sameTwice = generate: ''
    twice() {
      mkdir -p one two/deeper
      (cd one && HOME=$PWD TZ=UTC LC_ALL=C PYTHONHASHSEED=1 ${generate} "$PWD/made") || return 2
      sleep 1.1
      (cd two/deeper && umask 077 && HOME=$PWD/home TZ=Pacific/Kiritimati LC_ALL=C.UTF-8 PYTHONHASHSEED=2 \
        ${generate} "$PWD/made") || return 2
      diff -r one/made two/deeper/made || return 1
      diff <(cd one/made && find . -type f -perm -u+x | sort) <(cd two/deeper/made && find . -type f -perm -u+x | sort)
    }
  '';
  bundleCheck =
    name: bundle:
    pkgs.runCommand "check-bundle-${name}" { nativeBuildInputs = [ bottlegen ]; } ''
      ${sameTwice "bottlegen build --profile ${../profiles}/${profiles.${name}} --out"}
      twice
      same() { [ "$1" = "$2" ] || { echo "$3: $1, not $2"; return 1; }; }
      built=$(bottlegen verify ${bundle})
      same "$built" "$(bottlegen verify one/made/${name})" 'built twice'
      same "$built" "$(bottlegen verify ${../bundles}/${name})" 'committed'
      echo "$built" > $out
    '';
  clock = pkgs.writeShellScript "write-the-time" ''mkdir -p "$1" && date +%s > "$1/time"'';
in
lib.mapAttrs' (name: bundle: {
  name = "bundle-${name}";
  value = bundleCheck name bundle;
}) bundles
// {
  # A check that cannot fail is none: a generator that writes the time has to be caught, and by the comparison.
  negative = pkgs.runCommand "check-negative" { } ''
    ${sameTwice clock}
    caught=0
    twice > differences || caught=$?
    [ "$caught" = 1 ] || { echo "a generator that writes the time was not caught: $caught"; exit 1; }
    cp differences $out
  '';

  # Those that measure time are left out: a build machine does other things at the same time.
  tests = pkgs.runCommand "check-tests" { nativeBuildInputs = [ python ]; } ''
    cp -R ${source} source && chmod -R u+w source && cd source
    export HOME=$TMPDIR PYTHONPATH=$PWD
    python -m pytest -q -p no:cacheprovider tests/unit tests/golden -k 'not quickly and not bombs' > $out || { cat $out; exit 1; }
  '';

  lint = pkgs.runCommand "check-lint" { nativeBuildInputs = [ pkgs.ruff ]; } ''
    cp -R ${source} source && cd source
    ruff check --no-cache .
    ruff format --no-cache --check .
    touch $out
  '';
}
