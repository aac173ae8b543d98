;; Nests without end.
;; group: room
;; fails: trap
;; says: nested too deeply
;; says: limits.stack_kib
(component
  (;memory;)
  (core module $m
    (func $deep (param i32) (result i32) (i32.add (call $deep (local.get 0)) (call $deep (local.get 0))))
    (func (export "run") (param i32 i32) (result i32) (call $deep (i32.const 0))))
  (core instance $i (instantiate $m))
  (;skill;))
