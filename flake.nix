{
  description = "Bottles for coding agents: profiles become bundles, and a bundle becomes an agent without credentials";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      eachSystem =
        make:
        lib.genAttrs [
          "x86_64-linux"
          "aarch64-linux"
          "x86_64-darwin"
          "aarch64-darwin"
        ] (system: make nixpkgs.legacyPackages.${system});

      # profiles/NAME.toml as { NAME = "NAME.toml"; }
      profiles = builtins.listToAttrs (
        map (file: {
          name = builtins.head (builtins.match "(.*)\\.(toml|yaml|yml)" file);
          value = file;
        }) (builtins.filter (file: builtins.match ".*\\.(toml|yaml|yml)" file != null) (
          builtins.attrNames (builtins.readDir ./profiles)
        ))
      );

      package = pkgs: pkgs.callPackage ./nix/package.nix { };
      mkBundle = import ./nix/mk-bundle.nix { inherit package; };
      bundles =
        pkgs:
        builtins.mapAttrs (
          name: file:
          mkBundle {
            inherit pkgs name;
            profile = file;
            src = ./profiles;
          }
        ) profiles;
    in
    {
      lib = { inherit mkBundle; };

      overlays.default = final: _prev: { bottlegen = package final; };

      homeModules.default = import ./nix/home-module.nix { inherit package mkBundle; };

      packages = eachSystem (
        pkgs:
        { default = package pkgs; }
        // builtins.listToAttrs (
          map (name: {
            name = "bundle-${name}";
            value = (bundles pkgs).${name};
          }) (builtins.attrNames profiles)
        )
      );

      apps = eachSystem (pkgs: {
        default = {
          type = "app";
          program = "${package pkgs}/bin/bottlegen";
          meta.description = "Run coding agents in bottles";
        };
      });

      devShells = eachSystem (pkgs: {
        default = import ./nix/shell.nix { inherit pkgs; };
      });

      formatter = eachSystem (pkgs: import ./nix/formatter.nix { inherit pkgs; });

      checks = eachSystem (
        pkgs:
        import ./nix/checks.nix {
          inherit pkgs;
          bottlegen = package pkgs;
          bundles = bundles pkgs;
          inherit profiles;
        }
      );
    };
}
