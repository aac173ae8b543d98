;; Computes for ever where the host asks it for room for the input.
;; group: time
;; fails: runaway
;; says: limits.computing_seconds
(component
  (;memory;)
  (core module $m
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (loop $again (br $again)) unreachable))
  (core instance $i (instantiate $m))
  (;skill;))
