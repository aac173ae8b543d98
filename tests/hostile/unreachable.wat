;; Gives up at once.
;; group: words
;; fails: trap
(component
  (;memory;)
  (core module $m
    (func (export "run") (param i32 i32) (result i32) unreachable))
  (core instance $i (instantiate $m))
  (;skill;))
