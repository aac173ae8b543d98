;; Imports what there is of WASI without need: clocks, randomness, streams, environment, exit, files, sockets, terminals. All of it is there, and none of it leads anywhere.
;; group: load
(component
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance (export "now" (func (result u64))) (export "resolution" (func (result u64)))))
  (import "wasi:clocks/wall-clock@0.2.0" (instance
    (type $shape (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $datetime (eq $shape)))
    (export "now" (func (result $datetime)))))
  (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64)))))
  (import "wasi:random/insecure@0.2.0" (instance (export "get-insecure-random-u64" (func (result u64)))))
  (import "wasi:random/insecure-seed@0.2.0" (instance (export "insecure-seed" (func (result (tuple u64 u64))))))
  (import "wasi:cli/environment@0.2.0" (instance
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))
    (export "initial-cwd" (func (result (option string))))))
  (import "wasi:cli/exit@0.2.0" (instance (export "exit" (func (param "status" (result))))))
  (import "wasi:io/error@0.2.0" (instance (export "error" (type (sub resource)))))
  (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (import "wasi:io/streams@0.2.0" (instance $streams (export "output-stream" (type (sub resource))) (export "input-stream" (type (sub resource)))))
  (alias export $streams "output-stream" (type $output))
  (alias export $streams "input-stream" (type $input))
  (import "wasi:cli/stdout@0.2.0" (instance
    (alias outer 1 $output (type $o)) (export "output-stream" (type $o2 (eq $o))) (export "get-stdout" (func (result (own $o2))))))
  (import "wasi:cli/stderr@0.2.0" (instance
    (alias outer 1 $output (type $o)) (export "output-stream" (type $o2 (eq $o))) (export "get-stderr" (func (result (own $o2))))))
  (import "wasi:cli/stdin@0.2.0" (instance
    (alias outer 1 $input (type $o)) (export "input-stream" (type $o2 (eq $o))) (export "get-stdin" (func (result (own $o2))))))
  (import "wasi:filesystem/types@0.2.0" (instance $files (export "descriptor" (type (sub resource)))))
  (alias export $files "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance
    (alias outer 1 $descriptor (type $d)) (export "descriptor" (type $d2 (eq $d)))
    (export "get-directories" (func (result (list (tuple (own $d2) string)))))))
  (import "wasi:sockets/network@0.2.0" (instance $network (export "network" (type (sub resource)))))
  (alias export $network "network" (type $net))
  (import "wasi:sockets/instance-network@0.2.0" (instance
    (alias outer 1 $net (type $n)) (export "network" (type $n2 (eq $n))) (export "instance-network" (func (result (own $n2))))))
  (import "wasi:sockets/tcp@0.2.0" (instance (export "tcp-socket" (type (sub resource)))))
  (import "wasi:sockets/udp@0.2.0" (instance (export "udp-socket" (type (sub resource)))))
  (import "wasi:cli/terminal-output@0.2.0" (instance (export "terminal-output" (type (sub resource)))))
  (import "wasi:cli/terminal-input@0.2.0" (instance (export "terminal-input" (type (sub resource)))))
  (;memory;)
  (;skill;))
