"""Real microVMs on any machine: QEMU emulates a processor with virtualisation, and the published wheel boots in it."""
