"""Right answers in styles of their own, and wrong ones that earlier checks accepted: lessons 01 and 02."""

RIGHT = {
    "costs.ratio": (
        """\
from decimal import Decimal
price_ratio = Decimal('27.4')
""",
        """\
from fractions import Fraction
price_ratio = Fraction(274,10)
""",
        """\
import torch
price_ratio = torch.tensor(60.0)/2.19
""",
    ),
    "costs.per_answer": (
        """\
def cost_per_answer(question, thinking, answer, cached=0, *, price_in, price_cached, price_out):
    from decimal import Decimal as D
    if cached > question: raise ValueError('x')
    return (D(question-cached)*D(str(price_in))+D(cached)*D(str(price_cached))+D(thinking+answer)*D(str(price_out)))/D(10**6)
""",
        """\
class Bill:
    def __init__(self): self.t=0.0
    def add(self,n,per_million): self.t+=n*per_million*1e-6; return self
def cost_per_answer(question, thinking, answer, cached=0, *, price_in, price_cached, price_out):
    return Bill().add(question-cached,price_in).add(cached,price_cached).add(thinking,price_out).add(answer,price_out).t
""",
        """\
def cost_per_answer(question, thinking, answer, cached=0, price_in=0.55, price_cached=0.14, price_out=2.19):
    import torch
    n=torch.tensor([question-cached,cached,thinking+answer],dtype=torch.float64)
    return n @ torch.tensor([price_in,price_cached,price_out],dtype=torch.float64)/1e6
""",
    ),
    "costs.standard_error": (
        """\
import math
def standard_error(score, problems):
    from decimal import Decimal as D
    p=D(str(score))/100
    return (p*(1-p)/problems).sqrt()*100
""",
        """\
import math
def standard_error(score, problems):
    if score in (0,100): return 0
    p=score*1e-2
    return math.exp(0.5*(math.log(p)+math.log1p(-p)-math.log(problems)))*100
""",
        """\
import math
def standard_error(score, problems):
    import numpy as np
    x=np.array([0.0,1.0]); w=[1-score/100,score/100]
    m=np.average(x,weights=w)
    return 100*np.sqrt(np.average((x-m)**2,weights=w))/np.sqrt(problems)
""",
    ),
    "costs.gap_in_problems": (
        """\
def gap_in_problems(score_a, score_b, problems):
    from fractions import Fraction as F
    return (F(str(score_a))-F(str(score_b)))*problems/100
""",
        """\
def gap_in_problems(score_a, score_b, problems):
    solved=lambda s: s*problems/100
    return solved(score_a)-solved(score_b)
""",
        """\
def gap_in_problems(score_a, score_b, problems):
    if score_a==score_b: return 0
    if score_a<score_b: return -gap_in_problems(score_b,score_a,problems)
    return (score_a-score_b)*problems/100
""",
    ),
    "costs.own_machine": (
        """\
def own_cost_per_million(hardware_dollars, years, watts, dollars_per_kwh, tokens_per_second, utilisation):
    from fractions import Fraction as F
    h=F(years)*8760
    return (F(hardware_dollars)+h*F(watts)/1000*F(dollars_per_kwh))/(F(tokens_per_second)*3600*h*F(utilisation))*10**6
""",
        """\
def own_cost_per_million(hardware_dollars, years, watts, dollars_per_kwh, tokens_per_second, utilisation):
    s=years*8760*3600
    joule=watts*s
    kwh=joule/3.6e6
    m=s*utilisation*tokens_per_second/1e6
    return hardware_dollars/m+kwh*dollars_per_kwh/m
""",
        """\
def own_cost_per_million(hardware_dollars, years, watts, dollars_per_kwh, tokens_per_second, utilisation):
    seconds=1e6/tokens_per_second/utilisation
    hours=seconds/3600
    return hours*(hardware_dollars/years/8760+watts*dollars_per_kwh/1000)
""",
    ),
    "moe.by_hand": (
        """\
from fractions import Fraction as F
route_by_hand={3:F(12,25),2:F(13,25)}
""",
        """\
from collections import OrderedDict, defaultdict
route_by_hand=defaultdict(float)
route_by_hand[2]+=.52
route_by_hand[3]+=.48
""",
        """\
from decimal import Decimal
route_by_hand=dict([(2,Decimal('.52')),(3,Decimal('.48'))])
""",
    ),
    "moe.route": (
        """\
import heapq, itertools
def my_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    W,E=[],[]
    size=logits.shape[1]//n_group
    for row in logits:
        s=[float(torch.sigmoid(v)) for v in row]
        b=[x+float(y) for x,y in zip(s,bias)]
        groups=list(itertools.batched(range(len(b)),size)) if hasattr(itertools,'batched') else [range(g*size,(g+1)*size) for g in range(n_group)]
        best=heapq.nlargest(topk_group,groups,key=lambda g: sum(heapq.nlargest(2,(b[e] for e in g))))
        e=heapq.nlargest(top_k,itertools.chain(*best),key=b.__getitem__)
        t=sum(s[i] for i in e)+1e-20
        E.append(tuple(e)); W.append(tuple(scale*s[i]/t for i in e))
    return W,E
""",
        """\
import numpy as np
def my_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    from scipy.special import expit
    s=expit(np.asarray(logits,dtype=np.float64)); b=s+np.asarray(bias,dtype=np.float64)
    n,E=s.shape
    g=np.sort(b.reshape(n,n_group,-1),-1)[:,:,-2:]
    worth=np.einsum('ngk->ng',g)
    rank=(worth[:,:,None]<worth[:,None,:]).sum(-1)
    ok=np.repeat(rank<topk_group,E//n_group,1)
    order=np.lexsort((-b,~ok),axis=-1)[:,:top_k]
    w=s[np.arange(n)[:,None],order]
    return w*scale/(w.sum(1)[:,None]+1e-20),order.astype(float)
""",
        """\
def my_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    def one(x):
        s=x.sigmoid(); b=s+bias
        chunks=b.chunk(n_group)
        worth=torch.stack([c.sort().values[-1]+c.sort().values[-2] for c in chunks])
        keep=set(worth.topk(topk_group).indices.tolist())
        masked=torch.cat([c if i in keep else torch.full_like(c,float('-inf')) for i,c in enumerate(chunks)])
        idx=masked.argsort(descending=True)[:top_k]
        return s[idx]/(s[idx].sum()+1e-20)*scale, idx
    ws,es=zip(*[one(x) for x in logits])
    return torch.stack(ws),torch.stack(es)
""",
        """\
def my_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    logits=logits.clone(); s=torch.exp(torch.nn.functional.logsigmoid(logits)); b=s+bias
    if n_group>1:
        g=b.view(len(b),n_group,-1)
        lose=g.topk(2).values.sum(2).topk(n_group-topk_group,largest=False).indices
        g.scatter_(1,lose[...,None].expand(-1,-1,g.shape[2]),-math.inf)
    e=b.topk(top_k)[1]
    w=s.gather(1,e)
    if top_k>0: w=w/(w.sum(-1,keepdim=True)+1e-20)
    w*=scale
    return w,e
""",
    ),
    "moe.balance_bias": (
        """\
def my_balance_bias(bias, load, step):
    m=load.mean()
    return bias+step*((load<m).float()-(load>m).float())
""",
        """\
def my_balance_bias(bias, load, step):
    out=bias.clone()
    for i in range(len(load)):
        if load[i]==load.mean(): continue
        out[i]+= -step if load[i]>load.mean() else step
    return out
""",
        """\
def my_balance_bias(bias, load, step):
    from fractions import Fraction as F
    m=F(int(load.sum()),len(load))
    return [float(b)-step*((int(l)>m)-(int(l)<m)) for b,l in zip(bias,load)]
""",
        """\
def my_balance_bias(bias, load, step):
    away=load.mean()-load
    return bias+step*torch.where(away==0,torch.zeros_like(away),away/away.abs().clamp(min=1e-12))
""",
    ),
    "moe.count_parameters": (
        """\
def count_moe_layer(config):
    d,m,R,S,K=(config[k] for k in ('hidden_size','moe_intermediate_size','n_routed_experts','n_shared_experts','num_experts_per_tok'))
    count=lambda n: n*3*d*m+R*(d+1)
    return tuple(map(count,(R+S,K+S)))
""",
        """\
def count_moe_layer(config):
    from types import SimpleNamespace as N
    c=N(**config)
    e=torch.tensor(3*c.hidden_size*c.moe_intermediate_size)
    r=c.n_routed_experts*c.hidden_size+c.n_routed_experts
    return torch.stack([(c.n_routed_experts+c.n_shared_experts)*e+r,(c.num_experts_per_tok+c.n_shared_experts)*e+r])
""",
        """\
def count_moe_layer(config):
    c=dict(config); c.pop('intermediate_size',None)
    h=c['hidden_size']; m=c['moe_intermediate_size']
    with torch.device('meta'):
        e=sum(p.numel() for p in torch.nn.ModuleList([torch.nn.Linear(h,m,bias=False),torch.nn.Linear(h,m,bias=False),torch.nn.Linear(m,h,bias=False)]).parameters())
    g=c['n_routed_experts']*h+c['n_routed_experts']
    return {0:1} and ((c['n_routed_experts']+c['n_shared_experts'])*e+g,(c['num_experts_per_tok']+c['n_shared_experts'])*e+g)
""",
    ),
    "moe.experts_touched": (
        """\
def experts_touched(experts, top_k, tokens):
    if top_k==experts: return experts if tokens else 0
    return -experts*math.expm1(tokens*math.log1p(-top_k/experts))
""",
        """\
def experts_touched(experts, top_k, tokens):
    missed=math.comb(experts-1,top_k)/math.comb(experts,top_k)
    return experts-experts*missed**tokens
""",
        """\
def experts_touched(experts, top_k, tokens):
    if tokens==0: return 0
    def rec(t): return 0.0 if t==0 else rec(t-1)+(experts-rec.__dict__.get(t,0) if False else 0)
    left=float(experts)
    while tokens:
        left*=1-top_k/experts
        tokens-=1
    return experts-left
""",
    ),
    "moe.balance_a_router": (
        """\
def balance_router(logits, bias, top_k, step, rounds):
    import numpy as np
    from collections import Counter
    s=1/(1+np.exp(-logits.numpy().astype(float))); b=bias.numpy().astype(float).copy()
    for _ in range(rounds):
        chosen=np.argsort(-(s+b),1)[:,:top_k]
        c=Counter(chosen.ravel().tolist())
        load=np.array([c[e] for e in range(len(b))])
        b-=step*np.sign(load-load.mean())
    return b,load
""",
        """\
def balance_router(logits, bias, top_k, step, rounds):
    n=len(bias)
    def go(b,r):
        e=my_route(logits=logits,bias=b,top_k=top_k)[1]
        load=torch.nn.functional.one_hot(e,n).sum((0,1)).float()
        b=my_balance_bias(bias=b,load=load,step=step)
        return (b,load) if r==1 else go(b,r-1)
    return go(bias,rounds)
""",
        """\
def balance_router(logits, bias, top_k, step, rounds):
    load=None
    while rounds>0:
        e=my_route(logits,bias,top_k,n_group=1,topk_group=1)[1]
        load=torch.zeros_like(bias).scatter_add_(0,e.reshape(-1),torch.ones(e.numel()))
        bias+=step*torch.sign(len(logits)*top_k/len(bias)-load)
        rounds-=1
    return bias,load.long()
""",
    ),
    "moe.route_a_layer": (
        """\
def route_layer(hidden, gate, config):
    l=torch.stack([torch.mv(gate['weight'],h) for h in hidden])
    return my_route(logits=l,bias=gate['bias'],top_k=config['num_experts_per_tok'],n_group=config['n_group'],topk_group=config['topk_group'],scale=config['routed_scaling_factor'])
""",
        """\
def route_layer(hidden, gate, config):
    lin=torch.nn.Linear(hidden.shape[1],len(gate['bias']),bias=False)
    lin.weight.data=gate['weight']
    with torch.no_grad():
        return my_route(lin(hidden),gate['bias'],config['num_experts_per_tok'],config['n_group'],config['topk_group'],config['routed_scaling_factor'])
""",
        """\
def route_layer(hidden, gate, config):
    names={'num_experts_per_tok':'top_k','n_group':'n_group','topk_group':'topk_group','routed_scaling_factor':'scale'}
    rows=[my_route(h[None]@gate['weight'].t(),**{'bias':gate['bias']},**{names[k]:v for k,v in config.items()}) for h in hidden]
    return torch.cat([w for w,_ in rows]),torch.cat([e for _,e in rows])
""",
    ),
}
RIGHT["moe.find_the_bug"] = tuple(
    one.replace("my_route", "mended_route") for one in RIGHT["moe.route"]
)

WRONG = (
    (
        "costs.per_answer",
        "the sum is rounded to eight digits",
        ("dollars / 1_000_000", "round(dollars / 1_000_000, 8)"),
    ),
    (
        "costs.per_answer",
        "prices are rounded to cents",
        ("+ cached * price_cached", "+ cached * round(price_cached, 2)"),
    ),
    *(
        (name, f"losers are moved down by {far}", (old, new.format(far)))
        for far in (100, 500, 1000)
        for name, old, new in (
            (
                "moe.route",
                "groups.masked_fill(kept[..., None] == 0, -math.inf)",
                "(groups - {} * (1 - kept[..., None]))",
            ),
            (
                "moe.find_the_bug",
                "biased.masked_fill(allowed == 0, -math.inf)",
                "(biased - {} * (1 - allowed))",
            ),
        )
    ),
    (
        "moe.balance_bias",
        "close to the mean is at the mean",
        (
            "step * torch.sign(load.mean() - load)",
            "step * torch.sign(load.mean() - load) * ~torch.isclose(load, load.mean())",
        ),
    ),
    (
        "moe.route_a_layer",
        "a square weight is not transposed",
        (
            'gate["weight"].T',
            '(gate["weight"] if len(gate["weight"]) == hidden.shape[1] else gate["weight"].T)',
        ),
    ),
)
"""Accepted by earlier checks, at least with some of the inputs that are drawn."""
