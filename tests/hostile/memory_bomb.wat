;; Takes and touches memory until it is given no more, and gives up.
;; group: room
;; fails: trap
;; says: limit of 256 MiB
;; says: limits.memory_mib
(component
  (;memory;)
  (core module $m
    (memory 1)
    (func (export "run") (param i32 i32) (result i32) (local $at i32)
      (loop $again
        (local.set $at (memory.grow (i32.const 160)))
        (if (i32.eq (local.get $at) (i32.const -1)) (then unreachable))
        (memory.fill (i32.mul (local.get $at) (i32.const 65536)) (i32.const 1) (i32.const 10485760))
        (br $again))
      unreachable))
  (core instance $i (instantiate $m))
  (;skill;))
