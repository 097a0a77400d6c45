"""The same as `bank_fresh` for lessons 02b and 03."""

RIGHT = {
    "v3.round_e4m3": (
        """\
def round_e4m3(x):
    from fractions import Fraction as F
    x=F(x)
    s=F(1,512)
    while abs(x)/s>=16: s*=2
    return float(round(x/s)*s)
""",
        """\
def round_e4m3(x):
    codes=torch.arange(256,dtype=torch.uint8).view(torch.float8_e4m3fn).double()
    best=None
    for i,v in enumerate(codes.tolist()):
        if v!=v: continue
        k=(abs(v-x),i&1)
        if best is None or k<best[0]: best=(k,v)
    return best[1]
""",
        """\
def round_e4m3(x):
    step=2.0**-9
    edge=2.0**-5
    while abs(x)>=edge:
        edge*=2; step*=2
    return round(x/step)*step
""",
    ),
    "v3.block_scales": (
        """\
def block_scales(x, size):
    import numpy as np
    a=np.abs(x.numpy())
    m=np.maximum.reduceat(np.maximum.reduceat(a,np.arange(0,a.shape[0],size),0),np.arange(0,a.shape[1],size),1)
    return np.where(m==0,1,m/448)
""",
        """\
def block_scales(x, size):
    R,C=x.shape
    out=torch.ones(R//size,C//size,dtype=torch.float64)
    for i in range(R//size):
        for j in range(C//size):
            b=x[i*size:(i+1)*size,j*size:(j+1)*size]
            if b.any(): out[i,j]=max(b.max(),-b.min())/448
    return out
""",
        """\
def block_scales(x, size):
    m=torch.linalg.vector_norm(x.view(len(x)//size,size,-1,size),ord=float('inf'),dim=(1,3))
    m.div_(448)
    m[m==0]=1
    return m
""",
    ),
    "v3.accept": (
        """\
def after_a_guess(p, q, drafted, u):
    import numpy as np
    p=np.asarray(p);q=np.asarray(q)
    r=np.clip(p-q,0,None)
    return np.bool_(u<p[drafted]/q[drafted]),r/r.sum()
""",
        """\
def after_a_guess(p, q, drafted, u):
    r=[max(0,a-b) for a,b in zip(p,q)]
    t=sum(r)
    return [not u>=float(p[drafted])/float(q[drafted]), tuple(x/t for x in r)]
""",
        """\
def after_a_guess(p, q, drafted, u):
    if p[drafted]>=q[drafted]: kept=True
    else: kept=bool(math.log(u)<math.log(p[drafted])-math.log(q[drafted]))
    d=torch.where(p>q,p-q,torch.zeros_like(p))
    return kept,d/torch.linalg.norm(d,1)
""",
    ),
    "v3.bubble": (
        """\
def bubble_share(stages, micro_batches):
    from fractions import Fraction as F
    return F(stages-1,micro_batches+stages-1)
""",
        """\
def bubble_share(stages, micro_batches):
    return 1-1/(1+(stages-1)/micro_batches)
""",
        """\
def bubble_share(stages, micro_batches):
    import numpy as np
    g=np.zeros((stages,stages+micro_batches-1))
    for s in range(stages): g[s,s:s+micro_batches]=1
    return 1-g.mean()
""",
    ),
    "grpo.by_hand": (
        """\
from fractions import Fraction as F
advantages_by_hand=[F(3,2),F(-1,2),F(-1,2),F(-1,2)]
""",
        """\
from statistics import mean, stdev
r=[1,0,0,0]
advantages_by_hand=[(x-mean(r))/stdev(r) for x in r]
""",
        """\
from decimal import Decimal as D
advantages_by_hand=[D('1.50'),D('-0.50'),D('-0.50'),D('-0.50')]
""",
    ),
    "grpo.advantages": (
        """\
def my_group_advantages(rewards, eps=1e-4):
    s,m=torch.std_mean(rewards,dim=1,keepdim=True)
    return torch.div(rewards-m,s+eps)
""",
        """\
def my_group_advantages(rewards, eps=1e-4):
    import numpy as np
    r=np.asarray(rewards,dtype=float)
    n=r.shape[1]
    C=np.eye(n)-1/n
    z=np.einsum('gi,ij->gj',r,C)
    return z/(np.sqrt(np.einsum('gi,gi->g',z,z)/(n-1))[:,None]+eps)
""",
        """\
def my_group_advantages(rewards, eps=1e-4):
    out=torch.zeros_like(rewards)
    for i,row in enumerate(rewards):
        if (row==row[0]).all(): continue
        out[i]=(row-row.mean())/(row.std()+eps)
    return out
""",
    ),
    "grpo.completion_mask": (
        """\
def my_completion_mask(ids, eos):
    import itertools
    def keep(row):
        alive=itertools.accumulate((t!=eos for t in row),lambda a,b:a and b,initial=True)
        return [float(a) for a,_ in zip(alive,row)]
    return [keep(r) for r in ids.tolist()]
""",
        """\
def my_completion_mask(ids, eos):
    n=ids.shape[1]
    pad=torch.cat([ids,torch.full((len(ids),1),eos)],1)
    first=(pad==eos).int().argmax(1)
    return (torch.arange(n)[None]<=first[:,None]).int()
""",
        """\
def my_completion_mask(ids, eos):
    import numpy as np
    e=ids.numpy()==eos
    L=np.tri(e.shape[1],k=-1)
    return (e@L.T==0)*1.0
""",
    ),
    "grpo.policy_loss": (
        """\
def my_policy_loss(logp, old_logp, advantages, mask, clip=0.2):
    r=(logp-old_logp).exp(); A=advantages.unsqueeze(-1)
    g=torch.stack([r*A,r.clip(1-clip,1+clip)*A]).amin(0)
    L=mask.sum(1)
    per=torch.where(L>0,(g*mask).sum(1)/L.clamp(min=1),torch.zeros_like(L))
    return per.mean().neg()
""",
        """\
def my_policy_loss(logp, old_logp, advantages, mask, clip=0.2):
    r=torch.exp(logp-old_logp); A=advantages[:,None]
    up=torch.where(r>1+clip,torch.full_like(r,1+clip),r)
    dn=torch.where(r<1-clip,torch.full_like(r,1-clip),r)
    g=torch.where(A>=0,up,dn)*A
    return -torch.einsum('ct,ct,c->',g,mask,1/mask.sum(1).clamp(min=1))/len(mask)
""",
        """\
def my_policy_loss(logp, old_logp, advantages, mask, clip=0.2):
    A=advantages.reshape(-1,1); r=(logp-old_logp).double().exp()
    g=A*r-torch.relu(A)*torch.relu(r-1-clip)-torch.relu(-A)*torch.relu(1-clip-r)
    return -((g*mask).sum(1)/(mask.sum(1)+(mask.sum(1)==0))).mean()
""",
        """\
def my_policy_loss(logp, old_logp, advantages, mask, clip=0.2):
    A=advantages[:,None]
    x=(logp-old_logp)
    lo,hi=math.log1p(-clip),math.log1p(clip)
    g=torch.minimum(x.exp()*A,x.clamp(lo,hi).exp()*A)
    w=torch.nan_to_num(mask/mask.sum(1,keepdim=True))
    return -(g*w).sum(1).mean()
""",
    ),
    "grpo.kl": (
        """\
def my_kl(logp, ref_logp):
    d=ref_logp-logp
    return d.exp().sub(d).sub(1).clamp(min=0)
""",
        """\
def my_kl(logp, ref_logp):
    d=(ref_logp-logp).double()
    return (torch.special.expm1(d)-d).float()
""",
        """\
def my_kl(logp, ref_logp):
    r=(ref_logp-logp).exp()
    return r-1+logp-ref_logp
""",
    ),
    "grpo.pass_at_k": (
        """\
def pass_at_k(n, c, k):
    if n-c<k: return 1
    lg=math.lgamma
    return -math.expm1(lg(n-c+1)+lg(n-k+1)-lg(n-c-k+1)-lg(n+1))
""",
        """\
def pass_at_k(n, c, k):
    from decimal import Decimal as D, getcontext
    getcontext().prec=60
    return 1-D(math.comb(n-c,k))/D(math.comb(n,k))
""",
        """\
def pass_at_k(n, c, k):
    if c>n-k: return 1.0
    p=1
    for i in range(c): p*=(n-k-i)/(n-i)
    return 1-p
""",
    ),
    "grpo.mend_the_verifier": (
        """\
def mended_verifier(numbers, target, text):
    import itertools
    i=text.find('</think>')
    given=tuple(text[i+8:].split() if i>=0 else text.split())
    good={s for s in itertools.product('+-',repeat=len(numbers)-1) if numbers[0]+sum(n if c=='+' else -n for c,n in zip(s,numbers[1:]))==target}
    return 1.0 if given in good else 0.0
""",
        """\
def mended_verifier(numbers, target, text):
    def answer(t): return t[t.index('</think>')+len('</think>'):] if '</think>' in t else t
    def rec(total,left,words):
        if not left or not words: return not left and not words and total==target
        if words[0]=='+': return rec(total+left[0],left[1:],words[1:])
        if words[0]=='-': return rec(total-left[0],left[1:],words[1:])
        return False
    return rec(numbers[0],numbers[1:],answer(text).split())
""",
        """\
def mended_verifier(numbers, target, text):
    import re
    m=re.match(r'(?s)(?:.*?</think>)?(.*)',text)
    ws=m.group(1).split()
    ok=len(ws)==len(numbers)-1 and set(ws)<={'+','-'}
    return 1.0*(ok and sum(int(s+'1')*n for s,n in zip(['+']+ws,numbers))==target)
""",
    ),
    "grpo.train_a_policy": (
        """\
def train_policy(logits, sampled, rewards, lr):
    w=torch.nn.Parameter(logits.clone())
    opt=torch.optim.SGD([w],lr=lr)
    for g in sampled:
        lp=torch.log_softmax(w,0)[g].view(-1,1)
        loss=my_policy_loss(lp,lp.detach(),my_group_advantages(rewards[g].view(1,-1)).flatten(),torch.ones_like(lp))
        opt.zero_grad(); loss.backward(); opt.step()
    return w.softmax(0)
""",
        """\
def train_policy(logits, sampled, rewards, lr):
    import numpy as np
    z=logits.numpy().astype(float); r=rewards.numpy().astype(float)
    for g in sampled.numpy():
        p=np.exp(z-z.max()); p/=p.sum()
        a=(r[g]-r[g].mean())/(r[g].std(ddof=1)+1e-4)
        grad=np.zeros_like(z)
        for i,ai in zip(g,a):
            grad-=ai*(np.eye(len(z))[i]-p)/len(g)
        z=z-lr*grad
    p=np.exp(z-z.max())
    return p/p.sum()
""",
        """\
def train_policy(logits, sampled, rewards, lr):
    import itertools
    z=logits.detach().clone().requires_grad_(True)
    for t in itertools.count():
        if t==len(sampled): break
        g=sampled[t]
        lp=torch.distributions.Categorical(logits=z).log_prob(g)
        a=my_group_advantages(rewards[g][None],eps=1e-4)[0]
        my_policy_loss(lp[:,None],lp[:,None].detach(),a,torch.ones(len(g),1),clip=0.2).backward()
        with torch.no_grad():
            z-=lr*z.grad
            z.grad=None
    return z.detach().softmax(-1).numpy()
""",
    ),
    "grpo.grade_groups": (
        """\
def grade_groups(puzzles, texts):
    import numpy as np
    r=[np.array([mended_verifier(n,t,x) for x in g]) for (n,t),g in zip(puzzles,texts)]
    return r,np.concatenate(r).mean(),int(np.sum([np.ptp(g)==0 for g in r]))
""",
        """\
def grade_groups(puzzles, texts):
    out=[];right=n=dead=0
    for i in range(len(puzzles)):
        numbers,target=puzzles[i]
        g=[]
        for x in texts[i]:
            ok=mended_verifier(numbers,target,x)==1
            g.append(ok); right+=ok; n+=1
        out.append(tuple(g))
        dead+=all(g) or not any(g)
    return tuple(out),right/n,dead
""",
        """\
def grade_groups(puzzles, texts):
    from fractions import Fraction as F
    from statistics import pvariance
    r=[[mended_verifier(*p,x) for x in g] for p,g in zip(puzzles,texts)]
    return [r,F(sum(map(int,sum(r,[]))),sum(map(len,texts))),len([g for g in r if pvariance(g)==0])]
""",
    ),
}
RIGHT["grpo.find_the_bug"] = tuple(
    one.replace("my_policy_loss", "mended_loss") for one in RIGHT["grpo.policy_loss"]
)

_DEVIATION = "rewards.std(dim=1, keepdim=True)"
WRONG = (
    ("v3.round_e4m3", "half of the smallest step is too high", ("x == 0", "abs(x) < 2**-9.5")),
    ("v3.block_scales", "a sum of 0 is a block of zeros", ("most > 0", "blocks.sum((1, 3)) != 0")),
    ("v3.block_scales", "a largest of 0 is one", ("most > 0", "blocks.amax((1, 3)) != 0")),
    (
        "grpo.advantages",
        "cut off at two deviations",
        (
            f"(rewards - mean) / ({_DEVIATION} + eps)",
            f"((rewards - mean) / ({_DEVIATION} + eps)).clamp(-2, 2)",
        ),
    ),
    (
        "grpo.advantages",
        "a sum of 0 is nothing to learn",
        ("return (", "return (rewards.sum(dim=1, keepdim=True) != 0) * ("),
    ),
    (
        "grpo.advantages",
        "a small deviation is taken for 0",
        ("return (", f"return ({_DEVIATION} > 1e-4) * ("),
    ),
    ("grpo.completion_mask", "2 is an end too", ("(ids == eos)", "((ids == eos) | (ids == 2))")),
    *(
        (
            name,
            f"log-ratios are cut off at {bound}",
            ("logp - old_logp", f"torch.clamp(logp - old_logp, {bound})"),
        )
        for name in ("grpo.policy_loss", "grpo.find_the_bug")
        for bound in ("max=11.5", "min=-3")
    ),
    (
        "grpo.mend_the_verifier",
        "a sign is what stands in '-+'",
        ('sign not in ("+", "-")', 'sign not in "-+"'),
    ),
    (
        "grpo.mend_the_verifier",
        "numbers that are 0 are left out",
        ("numbers[1:], strict=True", "filter(None, numbers[1:])"),
    ),
)
"""Accepted by earlier checks, at least with some of the inputs that are drawn."""
