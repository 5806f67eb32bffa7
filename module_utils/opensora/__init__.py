"""Pure decisions of opensora-site: no Ansible, no subprocess, no network unless a module's name says so."""
