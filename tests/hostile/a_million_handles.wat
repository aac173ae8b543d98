;; Makes sets of calls without end, and keeps them.
;; group: room
;; fails: trap
;; says: limits.handles
(component
  (;memory;)
  (;sets;)
  (core module $m
    (import "sets" "set" (func $set (result i32)))
    (func (export "run") (param i32 i32) (result i32)
      (loop $again (drop (call $set)) (br $again)) unreachable))
  (core instance $i (instantiate $m (with "sets" (instance $sets))))
  (;skill;))
