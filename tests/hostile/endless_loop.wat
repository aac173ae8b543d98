;; Computes for ever.
;; group: time
;; fails: runaway
;; says: computed for 1 seconds
;; says: limits.computing_seconds
(component
  (;memory;)
  (core module $m
    (func (export "run") (param i32 i32) (result i32)
      (loop $again (br $again)) unreachable))
  (core instance $i (instantiate $m))
  (;skill;))
