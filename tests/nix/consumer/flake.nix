# A project that uses ours as an input; the test puts in where both inputs are.
{
  inputs.nixpkgs.url = "path:@stub@";
  inputs.bottlegen.url = "path:@flake@";
  inputs.bottlegen.inputs.nixpkgs.follows = "nixpkgs";

  outputs =
    { nixpkgs, bottlegen, ... }:
    {
      packages = builtins.mapAttrs (
        _system: pkgs:
        let
          dev = arguments: bottlegen.lib.mkBundle ({ inherit pkgs; name = "dev"; profile = ./dev.toml; } // arguments);
          pretend = text: pkgs.writeShellApplication { name = "bottlegen"; runtimeInputs = [ ]; inherit text; };
        in
        rec {
          plain = dev { };
          pinned = dev { hash = "@hash@"; };
          locked = dev { lock = ./bottlegen.lock; };
          sitelocked = bottlegen.lib.mkBundle {
            inherit pkgs;
            name = "site";
            src = ./team;
            profile = "web/site.yaml";
            lock = ./bottlegen.lock;
          };
          site = bottlegen.lib.mkBundle {
            inherit pkgs;
            name = "site";
            src = ./team;
            profile = "web/site.yaml";
          };
          misnamed = bottlegen.lib.mkBundle {
            inherit pkgs;
            name = "other";
            src = ./team;
            profile = "web/site.yaml";
          };
          root = pkgs.runCommand "root" { } ''
            mkdir -p $out/bin $out/empty
            echo '#!/bin/sh' > $out/bin/tool && chmod +x $out/bin/tool
            ln -s bin/tool $out/link
          '';
          image = pkgs.runCommand "image.tar" { } "echo no layers > $out";
          rooted = dev {
            rootfs = {
              directory = "agent-root";
              from = root;
            };
          };
          imaged = dev {
            rootfs = {
              archive = "images/agent.tar";
              from = image;
            };
          };
          siteRooted = bottlegen.lib.mkBundle {
            inherit pkgs;
            name = "site";
            src = ./team;
            profile = "web/site.yaml";
            rootfs = {
              directory = "agent-root";
              from = root;
            };
          };
          rootless = dev { rootfs.from = root; };
          clock = dev { bottlegen = pretend "mkdir -p built/dev; date +%s.%N > built/dev/time"; };
          leak = dev { bottlegen = pretend "mkdir -p built/dev; echo $0 > built/dev/path"; };
          overlaid = (bottlegen.overlays.default (pkgs // { inherit overlaid; }) pkgs).bottlegen;

          # What home-manager would link below ~/.config, and the command that it would install.
          home =
            let
              config.programs.bottlegen = {
                enable = true;
                package = overlaid;
                profiles.dev = ./dev.toml;
                hostConfig.secrets.MY_TOKEN.env = "OTHER_TOKEN";
              };
              module = bottlegen.homeModules.default {
                inherit config pkgs;
                inherit (nixpkgs) lib;
              };
              link = name: file: "mkdir -p $out/$(dirname ${name}) && ln -s ${file.source} $out/${name}\n";
            in
            assert module.config.home.packages == [ overlaid ];
            assert builtins.attrNames module.options.programs.bottlegen == [ "enable" "hostConfig" "package" "profiles" ];
            pkgs.runCommand "home" { } (
              builtins.concatStringsSep "" (nixpkgs.lib.mapAttrsToList link module.config.xdg.configFile)
            );
        }
      ) nixpkgs.legacyPackages;
    };
}
