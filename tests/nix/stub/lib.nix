# The functions of nixpkgs' lib that our flake uses, by their documented behaviour.
rec {
  genAttrs =
    names: make:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = make name;
      }) names
    );
  mapAttrsToList = make: set: map (name: make name set.${name}) (builtins.attrNames set);
  mapAttrs' = make: set: builtins.listToAttrs (mapAttrsToList make set);
  importTOML = path: builtins.fromTOML (builtins.readFile path);

  # A set of files is a list of paths here; of a folder all is meant.
  fileset = {
    unions = paths: paths;
    toSource =
      { root, fileset }:
      let
        wanted = map toString fileset;
        within = inner: outer: inner == outer || builtins.substring 0 (builtins.stringLength outer + 1) inner == outer + "/";
      in
      {
        outPath = builtins.path {
          path = root;
          name = "source";
          filter = path: _type: builtins.any (one: within path one || within one path) wanted;
        };
      };
  };

  licenses.mit = "MIT";
  platforms.unix = [ ];

  # Of modules only what lets one be called as a function.
  mkIf = condition: set: if condition then set else { };
  mkMerge = builtins.foldl' (a: b: a // b) { };
  mkOption = option: option;
  mkEnableOption = name: { description = "Whether to enable ${name}."; };
  literalExpression = text: text;
  types = {
    package = "package";
    path = "path";
    attrsOf = of: "attribute set of ${of}";
  };
}
