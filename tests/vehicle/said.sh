#!/bin/sh
# What a guest said, without colours and what kernels say of themselves.
sed -u 's/[\r\x00]//g; s/^.*== Linux/== Linux/; s/\x1b\[[0-9;?]*[a-zA-Z]//g' | sed -u -n '/^== /,$p' | grep --line-buffered -v '^$\|^\[ *[0-9.]*\] [a-z_]*:\|Powering off\|reboot:'
